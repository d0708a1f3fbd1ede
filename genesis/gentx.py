"""What an operator signs to be in a genesis: its stake, its consensus key, its beacon anchor.

A file of JSON:

    {"format": "descent-gentx/1", "chain_id", "tx": base64 of a signed TxRaw, "summary"}

The transaction is signed as account 0, sequence 0 of the chain, holds `MsgCreateValidator` and
`MsgRegisterNode`, and names in its memo where others reach the node. `summary` says the same for
people; it is refused when it does not. Source: Cosmos SDK x/genutil.
"""

from __future__ import annotations

import base64
import binascii
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from cosmos.crypto.ed25519 import keys_pb2
from cosmos.crypto.secp256k1 import keys_pb2 as account_keys_pb2
from cosmos.staking.v1beta1 import tx_pb2 as staking_tx
from cosmos.tx.v1beta1 import tx_pb2
from google.protobuf.message import DecodeError

from chain_client.address import operator_address
from chain_client.amounts import BASE_DENOM, format_dsc
from chain_client.keys import Key
from chain_client.tx import build_tx
from genesis.builder import GenesisBuilder
from genesis.document import GenesisError
from node.pallets.staking.types import UDSC_PER_POWER
from node.runtime.addresses import AddressError, compute_account_address, decode_account
from node.runtime.signatures import is_valid_signature
from proto.descent.beacon.v1 import beacon_pb2
from proto.packing import pack_any

FORMAT = "descent-gentx/1"
CREATE_URL = "/" + staking_tx.MsgCreateValidator.DESCRIPTOR.full_name
REGISTER_URL = "/" + beacon_pb2.MsgRegisterNode.DESCRIPTOR.full_name


@dataclass(frozen=True)
class Commission:
    """What an operator keeps of rewards: fractions scaled by 10^18."""

    rate: int
    max_rate: int
    max_change_rate: int


@dataclass(frozen=True)
class NodeFacts:
    """What the genesis needs of a node: ed25519 key, beacon anchor, `ID@HOST:PORT`."""

    consensus_key: bytes
    anchor: bytes
    peer: str


@dataclass(frozen=True)
class Gentx:
    """A signed declaration, its signature checked."""

    operator: bytes
    public_key: bytes
    create: Any
    register: Any
    peer: str

    @property
    def stake_udsc(self) -> int:
        """What the operator bonds."""
        return int(self.create.value.amount or 0)

    def summarise(self) -> dict[str, str]:
        """Say it for people."""
        return {
            "operator": str(self.create.validator_address),
            "moniker": str(self.create.description.moniker),
            "stake_udsc": str(self.stake_udsc),
            "peer": self.peer,
        }


def build_gentx(
    key: Key, stake_udsc: int, moniker: str, commission: Commission, node: NodeFacts, chain_id: str
) -> dict[str, Any]:
    """Build and sign the document of an operator."""
    operator = operator_address(key.address)
    create = staking_tx.MsgCreateValidator(
        min_self_delegation="1",
        delegator_address=key.address,
        validator_address=operator,
        pubkey=pack_any(keys_pb2.PubKey(key=node.consensus_key)),
    )
    create.description.moniker = moniker
    for name, value in asdict(commission).items():
        setattr(create.commission, name, str(value))
    create.value.denom, create.value.amount = BASE_DENOM, str(stake_udsc)
    register = beacon_pb2.MsgRegisterNode(operator_addr=key.address, anchor=node.anchor)
    signed = build_tx(
        key,
        [create, register],
        chain_id=chain_id,
        account_number=0,
        sequence=0,
        gas_limit=0,
        fee_udsc=0,
        memo=node.peer,
    )
    operator_addr = decode_account(key.address)
    gentx = Gentx(operator_addr, key.public_key, create, register, node.peer)
    return {
        "format": FORMAT,
        "chain_id": chain_id,
        "tx": base64.b64encode(signed.raw).decode(),
        "summary": gentx.summarise(),
    }


def load_gentx(path: Path, chain_id: str) -> Gentx:
    """Load a file and check it.

    Raises: GenesisError.
    """
    try:
        document = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise GenesisError(f"cannot read the gentx {path}: {error}") from error
    try:
        return parse_gentx(document, chain_id)
    except GenesisError as error:
        raise GenesisError(f"{path}: {error}") from error


def parse_gentx(document: Any, chain_id: str) -> Gentx:
    """Parse a document and check chain, signature and summary.

    Raises: GenesisError.
    """
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise GenesisError(f"this is no gentx: its format is not {FORMAT!r}")
    if document.get("chain_id") != chain_id:
        raise GenesisError(
            f"the gentx is of chain {document.get('chain_id')!r}, the genesis of {chain_id!r}: "
            "make it again with this genesis"
        )
    try:
        raw = tx_pb2.TxRaw.FromString(base64.b64decode(document["tx"], validate=True))
        gentx = _parse_tx(raw, chain_id)
    except (KeyError, TypeError, IndexError, binascii.Error, DecodeError, AddressError) as error:
        raise GenesisError(f"the transaction of the gentx does not parse: {error}") from error
    if document.get("summary") != gentx.summarise():
        raise GenesisError("the summary is not that of the signed transaction: it was edited")
    return gentx


def _parse_tx(raw: Any, chain_id: str) -> Gentx:
    body = tx_pb2.TxBody.FromString(raw.body_bytes)
    auth = tx_pb2.AuthInfo.FromString(raw.auth_info_bytes)
    if [item.type_url for item in body.messages] != [CREATE_URL, REGISTER_URL]:
        raise GenesisError("a gentx makes an operator and registers its node, nothing else")
    create = staking_tx.MsgCreateValidator.FromString(body.messages[0].value)
    register = beacon_pb2.MsgRegisterNode.FromString(body.messages[1].value)
    operator = decode_account(register.operator_addr)
    public_key = account_keys_pb2.PubKey.FromString(auth.signer_infos[0].public_key.value).key
    document = tx_pb2.SignDoc(
        body_bytes=raw.body_bytes, auth_info_bytes=raw.auth_info_bytes, chain_id=chain_id
    )
    is_signed = (
        len(raw.signatures) == 1
        and compute_account_address(public_key) == operator
        and operator_address(register.operator_addr) == create.validator_address
        and is_valid_signature(
            public_key, raw.signatures[0], document.SerializeToString(deterministic=True)
        )
    )
    if not is_signed:
        raise GenesisError(
            f"the signature is not that of {register.operator_addr} for chain {chain_id!r}"
        )
    return Gentx(operator, public_key, create, register, body.memo)


def apply_gentx(builder: GenesisBuilder, gentx: Gentx) -> None:
    """Make an operator of a genesis account.

    Raises: GenesisError.
    """
    name = f"{gentx.create.description.moniker} ({gentx.register.operator_addr})"
    account = builder.chain.accounts.get_account(builder.ctx, gentx.operator)
    if account is None:
        raise GenesisError(f"the operator {name} has no account in the genesis: add-account first")
    if builder.chain.staking.get_operator(builder.ctx, gentx.operator) is not None:
        raise GenesisError(f"{name} is an operator in the genesis already")
    balance = builder.chain.bank.get_balance(builder.ctx, gentx.operator)
    if gentx.stake_udsc < UDSC_PER_POWER:
        raise GenesisError(
            f"the stake of {name} is {format_dsc(gentx.stake_udsc)}: less than "
            f"{format_dsc(UDSC_PER_POWER)} decides nothing"
        )
    if gentx.stake_udsc > balance:
        raise GenesisError(
            f"the stake of {name}, {format_dsc(gentx.stake_udsc)}, is above its balance of "
            f"{format_dsc(balance)} in the genesis"
        )
    builder.dispatch(f"operator {name}", [gentx.create, gentx.register])
    # The transaction counts as executed: nobody can send it to the chain again.
    account = builder.chain.accounts.get_account(builder.ctx, gentx.operator)
    account.sequence = 1
    account.pub_key.CopyFrom(pack_any(account_keys_pb2.PubKey(key=gentx.public_key)))
    builder.chain.accounts.set_account(builder.ctx, gentx.operator, account)
