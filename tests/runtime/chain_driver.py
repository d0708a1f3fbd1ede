"""Drives the application as an engine does, one block at a time, with signed transactions."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import coincurve
from coincurve.ecdsa import der_to_cdata, serialize_compact
from cosmos.crypto.ed25519 import keys_pb2
from cosmos.staking.v1beta1 import staking_pb2
from cosmos.tx.signing.v1beta1 import signing_pb2
from cosmos.tx.v1beta1 import tx_pb2
from tendermint.abci import types_pb2 as abci
from tendermint.types import validator_pb2

from node.chain import Chain, build_chain
from node.engine.keys import ValidatorKey
from node.onion import OnionKeeper
from node.pallets.consensus.pallet import build_default_params
from node.runtime.addresses import compute_account_address, encode_account, encode_operator
from node.runtime.ante import build_key
from node.runtime.coins import build_coin
from node.runtime.context import BlockInfo, Context
from node.runtime.extensions import make_extension_sign_bytes
from node.runtime.options import NodeOptions
from node.runtime.state import EmptyReader, Overlay
from node.store.state import StateStore
from proto.packing import pack_any

CHAIN_ID = "descent-test-1"
GENESIS_SECONDS = 1_700_000_000
DEFAULT_GAS = 200_000
NODE_KEY = ValidatorKey(b"\x01" * 32)
PROPOSER = NODE_KEY.address
NODE_POWER = 10
INVARIANT_BLOCKS = 10
"""Every so many blocks the invariants of all pallets are checked."""


class Key:
    """A secp256k1 key, made from a name unless the secret is given."""

    def __init__(self, name: str, secret: bytes | None = None) -> None:
        secret = secret or hashlib.sha256(b"key/" + name.encode()).digest()
        self._private = coincurve.PrivateKey(secret)
        self.public = self._private.public_key.format(compressed=True)
        self.addr = compute_account_address(self.public)
        self.text = encode_account(self.addr)

    def sign(self, message: bytes) -> bytes:
        """Sign sha256(message), 64 bytes."""
        return bytes(serialize_compact(der_to_cdata(self._private.sign(message))))


def build_tx(
    key: Key,
    messages: Sequence[Any],
    *,
    sequence: int,
    account_number: int,
    chain_id: str = CHAIN_ID,
    gas: int = DEFAULT_GAS,
    fee: int = 0,
    memo: str = "",
    timeout_height: int = 0,
    timeout_seconds: int = 0,
    granter: str = "",
    signature: bytes | None = None,
    sign_mode: int = signing_pb2.SIGN_MODE_DIRECT,
) -> bytes:
    """Build a signed transaction of one signer."""
    body = tx_pb2.TxBody(memo=memo, timeout_height=timeout_height)
    if timeout_seconds:
        body.timeout_timestamp.seconds = timeout_seconds
    body.messages.extend(pack_any(message) for message in messages)
    auth = tx_pb2.AuthInfo()
    info = auth.signer_infos.add(public_key=build_key(key.public), sequence=sequence)
    info.mode_info.single.mode = sign_mode
    auth.fee.gas_limit = gas
    auth.fee.granter = granter
    if fee:
        auth.fee.amount.append(build_coin("udsc", fee))
    body_bytes, auth_bytes = body.SerializeToString(), auth.SerializeToString()
    sign_doc = tx_pb2.SignDoc(
        body_bytes=body_bytes,
        auth_info_bytes=auth_bytes,
        chain_id=chain_id,
        account_number=account_number,
    )
    if signature is None:
        signature = key.sign(sign_doc.SerializeToString())
    raw = tx_pb2.TxRaw(body_bytes=body_bytes, auth_info_bytes=auth_bytes, signatures=[signature])
    data: bytes = raw.SerializeToString()
    return data


def build_app_state(balances: Mapping[bytes, int], operator: Key, anchor: bytes) -> bytes:
    """Build an app state by running the pallets on empty state.

    The operator has a node and no stake, so that supply and accounts are those of `balances`.
    """
    chain = build_chain()
    ctx = Context(Overlay(EmptyReader()), BlockInfo(CHAIN_ID, 0, GENESIS_SECONDS * 10**9))
    for addr, amount in balances.items():
        chain.bank.mint(ctx, addr, amount)
    chain.beacon.register_anchor(ctx, operator.addr, anchor)
    entry = staking_pb2.Validator(
        operator_address=encode_operator(operator.addr),
        status=staking_pb2.BOND_STATUS_BONDED,
        tokens="0",
        delegator_shares="0",
    )
    entry.consensus_pubkey.type_url = "/cosmos.crypto.ed25519.PubKey"
    entry.consensus_pubkey.value = keys_pb2.PubKey(key=NODE_KEY.public_key).SerializeToString()
    chain.staking.storage.operators.set(ctx, operator.addr, entry)
    chain.staking.storage.operators_by_key.set(ctx, NODE_KEY.address, operator.addr)
    for pallet in chain.runtime.pallets.values():
        pallet.process_genesis(ctx)
    return json.dumps({"pallets": chain.runtime.export_genesis(ctx)}, sort_keys=True).encode()


class ChainDriver:
    """A chain in a folder with one operator; blocks are made on demand."""

    def __init__(
        self,
        path: Path,
        balances: Mapping[str, int] | None = None,
        options: NodeOptions | None = None,
        max_gas: int = -1,
    ) -> None:
        self.path = path
        self._max_gas = max_gas
        self.operator = Key("operator")
        self.keeper = OnionKeeper(b"\x07" * 32, self.operator.addr)
        self.options = options
        self._balances = {Key(name).addr: udsc for name, udsc in (balances or {}).items()}
        self._extension = b""
        self.mempool: list[bytes] = []
        self.app_hashes: dict[int, bytes] = {}
        self.open()
        if self.app.info(abci.RequestInfo()).last_block_height == 0:
            self.init_chain()

    def open(self) -> None:
        """Open store and application."""
        self.chain: Chain = build_chain()
        self.store = StateStore.open(self.path)
        extend = self.keeper.make_extender(self.chain.beacon)
        self.app = self.chain.open_application(self.store, self.options, extend)

    def close(self) -> None:
        """Close the store."""
        self.store.close()

    def init_chain(self) -> None:
        """Start from genesis."""
        state = build_app_state(self._balances, self.operator, self.keeper.first_anchor)
        request = abci.RequestInitChain(chain_id=CHAIN_ID, app_state_bytes=state, initial_height=1)
        request.time.seconds = GENESIS_SECONDS
        request.consensus_params.CopyFrom(build_default_params())
        request.consensus_params.block.max_gas = self._max_gas
        self.genesis_response = self.app.init_chain(request)

    @property
    def height(self) -> int:
        """Height of the last committed block."""
        return int(self.app.info(abci.RequestInfo()).last_block_height)

    def get_account(self, key: Key) -> Any:
        """Get the committed account of a key."""
        ctx = Context(Overlay(self.store), self.app.last_block)
        return self.chain.accounts.get_account(ctx, key.addr)

    def get_balance(self, key: Key) -> int:
        """Get the committed balance of a key in udsc."""
        ctx = Context(Overlay(self.store), self.app.last_block)
        return self.chain.bank.get_balance(ctx, key.addr)

    def sign(self, key: Key, *messages: Any, **options: Any) -> bytes:
        """Sign with the committed account number and sequence."""
        if "account_number" not in options:
            options["account_number"] = self.get_account(key).account_number
        if "sequence" not in options:
            options["sequence"] = self.get_account(key).sequence
        return build_tx(key, messages, **options)

    def check(self, tx: bytes) -> Any:
        """Check a transaction; it joins the mempool if it passes."""
        response = self.app.check_tx(abci.RequestCheckTx(tx=tx, type=abci.NEW))
        if response.code == 0:
            self.mempool.append(tx)
        return response

    def propose(self, txs: Sequence[bytes]) -> list[bytes]:
        """Have the application order a block."""
        request = abci.RequestPrepareProposal(
            max_tx_bytes=2**20, txs=txs, height=self.height + 1, proposer_address=PROPOSER
        )
        request.time.seconds = GENESIS_SECONDS + self.height + 1
        request.local_last_commit.CopyFrom(self.make_extended_commit())
        return list(self.app.prepare_proposal(request).txs)

    def make_extended_commit(self) -> Any:
        """Make the commit of the last block, with the node's vote extension."""
        commit = abci.ExtendedCommitInfo()
        if self._extension:
            message = make_extension_sign_bytes(CHAIN_ID, self.height, 0, self._extension)
            commit.votes.add(
                validator=abci.Validator(address=NODE_KEY.address, power=NODE_POWER),
                vote_extension=self._extension,
                extension_signature=NODE_KEY.sign(message),
                block_id_flag=validator_pb2.BLOCK_ID_FLAG_COMMIT,
            )
        return commit

    def make_commit(self) -> Any:
        """Make the commit of the last block."""
        commit = abci.CommitInfo()
        for vote in self.make_extended_commit().votes:
            commit.votes.add(validator=vote.validator, block_id_flag=vote.block_id_flag)
        return commit

    def make_block(self, txs: Sequence[bytes] | None = None, commit: bool = True) -> Any:
        """Make one block of the mempool, or of exactly the given transactions, valid or not."""
        is_proposed = txs is None
        if txs is None:
            txs, self.mempool = self.mempool, []
            ordered = self.propose(txs)
        else:
            ordered = [*self.propose([]), *txs]
        height = self.height + 1
        fields = {"height": height, "txs": ordered, "proposer_address": PROPOSER}
        last = self.make_commit()
        process = abci.RequestProcessProposal(proposed_last_commit=last, **fields)
        extend = abci.RequestExtendVote(proposed_last_commit=last, **fields)
        finalize = abci.RequestFinalizeBlock(decided_last_commit=last, **fields)
        for request in (process, extend, finalize):
            request.time.seconds = GENESIS_SECONDS + height
        if is_proposed:
            assert self.app.process_proposal(process).status == abci.ResponseProcessProposal.ACCEPT
        extension = self.app.extend_vote(extend).vote_extension
        verify = abci.RequestVerifyVoteExtension(
            height=height, vote_extension=extension, validator_address=NODE_KEY.address
        )
        assert self.app.verify_vote_extension(verify).status == 1
        response = self.app.finalize_block(finalize)
        self.app_hashes[height] = response.app_hash
        if commit:
            self._extension = extension
            self.app.commit(abci.RequestCommit())
            if height % INVARIANT_BLOCKS == 0:
                self.check_invariants()
        return response

    def check_invariants(self) -> None:
        """Check every invariant of the committed state."""
        self.chain.runtime.check_invariants(Context(Overlay(self.store), self.app.last_block))

    def deliver(self, tx: bytes) -> Any:
        """Make a block of one transaction; returns its result."""
        return self.make_block([tx]).tx_results[-1]

    def query(self, path: str, request: Any = None, data: bytes = b"", **fields: Any) -> Any:
        """Query through ABCI."""
        if request is not None:
            data = request.SerializeToString()
        return self.app.query(abci.RequestQuery(path=path, data=data, **fields))
