"""Builds a genesis by running the pallets on empty state and exporting the result."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Any

from cosmos.crypto.ed25519 import keys_pb2
from cosmos.staking.v1beta1 import staking_pb2, tx_pb2
from google.protobuf import any_pb2

from genesis.document import GenesisError, build_document
from node.chain import Chain, build_chain
from node.engine.genesis_doc import parse_params
from node.engine.keys import PUBLIC_TYPE, compute_address
from node.runtime.addresses import encode_account, encode_operator
from node.runtime.coins import BASE_DENOM, build_coin
from node.runtime.context import BlockInfo, Context
from node.runtime.errors import ChainError
from node.runtime.state import EmptyReader, Overlay

ED25519_TYPE_URL = "/cosmos.crypto.ed25519.PubKey"
DEFAULT_COMMISSION = ("100000000000000000", "200000000000000000", "10000000000000000")
"""Rate 10 %, maximum 20 %, change 1 % a day; fractions with 18 decimals."""


class GenesisBuilder:
    """Collects what a chain starts with.

    Args:
        chain_id: name of the chain.
        time_ns: genesis time, nanoseconds since 1970.
        is_devnet: published keys are accepted.
        params: parameter sections by pallet, as in a genesis file; absent ones get defaults.
    """

    def __init__(
        self,
        chain_id: str,
        time_ns: int,
        *,
        is_devnet: bool = False,
        params: dict[str, dict[str, Any]] | None = None,
    ) -> None:
        self._is_devnet = is_devnet
        self.chain = build_chain()
        self.ctx = Context(Overlay(EmptyReader()), BlockInfo(chain_id, 0, time_ns))
        sections: dict[str, dict[str, Any]] = {
            name: {"params": values} for name, values in (params or {}).items()
        }
        sections.setdefault("mint", {})["issued_udsc"] = "0"
        self.chain.runtime.import_genesis(self.ctx, sections)

    @staticmethod
    def load(document: dict[str, Any]) -> GenesisBuilder:
        """Go on with a document.

        Raises: GenesisError.
        """
        # Here, because the check of documents needs the devnet's, which this builds.
        from genesis.check import check_document

        ctx = check_document(document)
        builder = GenesisBuilder.__new__(GenesisBuilder)
        builder.chain, builder.ctx = build_chain(), ctx
        builder._is_devnet = document["app_state"].get("devnet") is True
        params = parse_params(document.get("consensus_params") or {})
        builder.chain.consensus.set_params(ctx, params)
        return builder

    def add_account(self, addr: bytes, udsc: int) -> None:
        """Give an account coins.

        Raises: GenesisError if it was added before.
        """
        if udsc < 0:
            raise GenesisError(f"negative amount {udsc} for {encode_account(addr)}")
        if self.chain.accounts.get_account(self.ctx, addr) is not None:
            raise GenesisError(f"duplicate account {encode_account(addr)}")
        self.chain.accounts.ensure_account(self.ctx, addr)
        self.chain.bank.mint(self.ctx, addr, udsc)
        issued = self.chain.mint.storage.issued_udsc.expect(self.ctx)
        self.chain.mint.storage.issued_udsc.set(self.ctx, issued + udsc)

    def add_operator(
        self, addr: bytes, moniker: str, consensus_key: bytes, self_bond_udsc: int
    ) -> None:
        """Register an account as an operator that bonds part of its coins.

        Raises: GenesisError.
        """
        rate, max_rate, max_change = DEFAULT_COMMISSION
        key = keys_pb2.PubKey(key=consensus_key).SerializeToString()
        message = tx_pb2.MsgCreateValidator(
            description=staking_pb2.Description(moniker=moniker),
            commission=staking_pb2.CommissionRates(
                rate=rate, max_rate=max_rate, max_change_rate=max_change
            ),
            min_self_delegation="1",
            validator_address=encode_operator(addr),
            pubkey=any_pb2.Any(type_url=ED25519_TYPE_URL, value=key),
            value=build_coin(BASE_DENOM, self_bond_udsc),
        )
        self.dispatch(f"operator {moniker}", [message])

    def dispatch(self, what: str, messages: Sequence[Any]) -> None:
        """Execute messages of a signer whom the caller has checked.

        Args:
            what: whose they are, for the refusal.
        Raises: GenesisError.
        """
        try:
            for message in messages:
                url = "/" + message.DESCRIPTOR.full_name
                self.chain.runtime.dispatch(self.ctx, url, message)
        except ChainError as error:
            raise GenesisError(f"{what}: {error}") from error

    def register_beacon(self, operator: bytes, anchor: bytes) -> None:
        """Register the hash onion of an operator's node; `anchor` has 32 bytes."""
        self.chain.beacon.register_anchor(self.ctx, operator, anchor)

    def build(self) -> dict[str, Any]:
        """Build the document.

        Raises: InvariantBroken.
        """
        self.chain.consensus.record_block(self.ctx)
        self.chain.runtime.check_invariants(self.ctx)
        validators = list_validators(self.chain, self.ctx)
        return build_document(
            self.chain, self.ctx, is_devnet=self._is_devnet, validators=validators
        )


def list_validators(chain: Chain, ctx: Context) -> list[dict[str, Any]]:
    """List the consensus set, in CometBFT's form: operators whose node has a beacon."""
    monikers = {
        keys_pb2.PubKey.FromString(operator.consensus_pubkey.value).key: operator.description
        for _, operator in chain.staking.storage.operators.iterate(ctx)
    }
    return [
        {
            "address": compute_address(key).hex().upper(),
            "pub_key": {"type": PUBLIC_TYPE, "value": base64.b64encode(key).decode()},
            "power": str(power),
            "name": monikers[key].moniker,
        }
        for key, power in sorted(chain.staking.compute_powers(ctx).items())
    ]
