"""Mint: how much a block may bring into being, and for whom.

There is no inflation for its own sake: a block's emission exists only as far as runs earn it, and
what nobody earns is never minted. Halvings follow issuance: at 1/2, 3/4, 7/8 of the supply cap.
Coins in genesis count as issued; burning does not undo issuance.

Invariants: issued is at most the cap and at least the supply of the base denomination.
Source: DESIGN 4.4; `scoring/emission.py`.
"""

from __future__ import annotations

from typing import Any

from node.pallets.bank.types import BalancesMint
from node.pallets.mint.errors import EmissionExhausted
from node.pallets.mint.types import EmissionIssued, MintParams
from node.runtime.addresses import encode_account
from node.runtime.codecs import AMOUNT
from node.runtime.context import Context
from node.runtime.errors import InvariantBroken, ensure
from node.runtime.pallet import Pallet, invariant, query
from node.runtime.params import ParamsCodec
from node.runtime.storage import GenesisDataError, Item, Schema
from proto.descent.mint.v1 import mint_pb2
from scoring.emission import compute_block_emission, compute_num_halvings


class MintSchema(Schema):
    """Storage of mint."""

    params = Item(0x00, "params", ParamsCodec(MintParams))
    issued_udsc = Item(0x01, "issued_udsc", AMOUNT)


class MintPallet(Pallet[MintSchema]):
    """The mint pallet.

    Args:
        bank: brings coins into being.
    """

    name = "mint"
    schema = MintSchema
    query_services = (mint_pb2.DESCRIPTOR.services_by_name["Query"],)
    errors = (EmissionExhausted,)
    events = (EmissionIssued,)

    def __init__(self, bank: BalancesMint) -> None:
        super().__init__()
        self._bank = bank

    def get_params(self, ctx: Context) -> MintParams:
        """Get the parameters."""
        params: MintParams = self.storage.params.expect(ctx)
        return params

    # Capabilities

    def get_block_emission(self, ctx: Context) -> int:
        """Get what a block may mint at the present issuance, in udsc."""
        params = self.get_params(ctx)
        issued = self.storage.issued_udsc.expect(ctx)
        return compute_block_emission(issued, params.initial_emission_udsc, params.supply_cap_udsc)

    def get_unissued(self, ctx: Context) -> int:
        """Get what may still be minted before the cap, in udsc."""
        return self.get_params(ctx).supply_cap_udsc - self.storage.issued_udsc.expect(ctx)

    def issue(self, ctx: Context, recipient: bytes, amount_udsc: int) -> None:
        """Mint emission that was set aside in earlier blocks. Nothing happens for 0.

        Raises: EmissionExhausted.
        Emits: EmissionIssued.
        """
        ensure(amount_udsc <= self.get_unissued(ctx), EmissionExhausted)
        if amount_udsc == 0:
            return
        issued = self.storage.issued_udsc.expect(ctx)
        self.storage.issued_udsc.set(ctx, issued + amount_udsc)
        self._bank.mint(ctx, recipient, amount_udsc)
        ctx.emit(EmissionIssued(encode_account(recipient), amount_udsc))

    # Queries

    @query("Params")
    def query_params(self, ctx: Context, request: Any) -> Any:
        """Answer the parameters."""
        return mint_pb2.QueryParamsResponse(params=self.get_params(ctx).to_message())

    @query("Emission")
    def query_emission(self, ctx: Context, request: Any) -> Any:
        """Answer where the schedule stands."""
        issued = self.storage.issued_udsc.expect(ctx)
        cap = self.get_params(ctx).supply_cap_udsc
        return mint_pb2.QueryEmissionResponse(
            issued_udsc=issued,
            block_emission_udsc=self.get_block_emission(ctx),
            num_halvings=compute_num_halvings(issued, cap) if issued < cap else 0,
        )

    # Genesis and invariants

    def process_genesis(self, ctx: Context) -> None:
        if self.storage.params.get(ctx) is None:
            self.storage.params.set(ctx, MintParams())
        if self.storage.issued_udsc.get(ctx) is None:
            self.storage.issued_udsc.set(ctx, self._bank.get_supply(ctx))
        cap = self.get_params(ctx).supply_cap_udsc
        issued = self.storage.issued_udsc.expect(ctx)
        if issued > cap:
            raise GenesisDataError(f"mint: {issued} udsc issued is above the cap of {cap} udsc")

    @invariant
    def check_issued(self, ctx: Context) -> None:
        """Supply never exceeds what was issued, nor that the cap."""
        issued = self.storage.issued_udsc.expect(ctx)
        cap = self.get_params(ctx).supply_cap_udsc
        supply = self._bank.get_supply(ctx)
        if not supply <= issued <= cap:
            raise InvariantBroken(f"mint: supply {supply}, issued {issued}, cap {cap}")
