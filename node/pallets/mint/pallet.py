"""Mint: how much a block may bring into being, and for whom.

A block's emission has two parts: one for the consensus set, minted when it is shared out, and one
for runs, which exists only as far as they earn it: what nobody earns is never minted. Halvings
follow issuance: at 1/2, 3/4, 7/8 of the supply cap. Coins in genesis count as issued; burning does
not undo issuance.

Invariants: issued is at most the cap and at least the supply of the base denomination.
Source: DESIGN 4.4; `scoring/emission.py`.
"""

from __future__ import annotations

from typing import Any

from cosmos.mint.v1beta1 import mint_pb2 as wallet_types_pb2
from cosmos.mint.v1beta1 import query_pb2 as wallet_pb2

from node.pallets.bank.types import BalancesMint
from node.pallets.mint.errors import EmissionExhausted
from node.pallets.mint.types import EmissionIssued, MintParams
from node.runtime.addresses import encode_account
from node.runtime.codecs import AMOUNT
from node.runtime.coins import BASE_DENOM
from node.runtime.context import Context
from node.runtime.errors import InvalidRequest, InvariantBroken, ensure
from node.runtime.pallet import Pallet, invariant, query
from node.runtime.params import ParamsCodec
from node.runtime.storage import GenesisDataError, Item, Schema
from proto.descent.mint.v1 import mint_pb2
from scoring.emission import compute_block_emission, compute_num_halvings
from scoring.fixed_point import PPM

WALLET_SERVICE = wallet_pb2.DESCRIPTOR.services_by_name["Query"]
BLOCKS_PER_YEAR = 31_557_600
"""Nominal, a block a second: what wallets show as yearly is a guide only."""


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
    index = 13
    schema = MintSchema
    query_services = (mint_pb2.DESCRIPTOR.services_by_name["Query"], WALLET_SERVICE)
    params_messages = (mint_pb2.MsgUpdateParams, mint_pb2.MsgUpdateParamsResponse)
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

    def get_consensus_emission(self, ctx: Context) -> int:
        """Get the consensus set's part of a block's emission, in udsc."""
        share = self.get_params(ctx).consensus_share_ppm
        return self.get_block_emission(ctx) * share // PPM

    def get_runs_emission(self, ctx: Context) -> int:
        """Get the runs' part of a block's emission, in udsc."""
        return self.get_block_emission(ctx) - self.get_consensus_emission(ctx)

    def issue_consensus(self, ctx: Context, recipient: bytes, num_blocks: int) -> None:
        """Mint the consensus set's part of a number of blocks at the present issuance.

        Emits: EmissionIssued, CoinReceived, CoinsMinted.
        """
        amount = self.get_consensus_emission(ctx) * num_blocks
        self.issue(ctx, recipient, min(amount, self.get_unissued(ctx)))

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
            consensus_emission_udsc=self.get_consensus_emission(ctx),
            num_halvings=compute_num_halvings(issued, cap) if issued < cap else 0,
        )

    @query("Params", WALLET_SERVICE.full_name)
    def query_wallet_params(self, ctx: Context, request: Any) -> Any:
        """Answer what wallets ask of minting: denomination, inflation, blocks a year."""
        params = wallet_types_pb2.Params(
            mint_denom=BASE_DENOM,
            inflation_rate=str(self._get_scaled_inflation(ctx)),
            blocks_per_year=BLOCKS_PER_YEAR,
        )
        return wallet_pb2.QueryParamsResponse(params=params)

    @query("Inflation", WALLET_SERVICE.full_name)
    def query_inflation(self, ctx: Context, request: Any) -> Any:
        """Answer a year's consensus emission by supply, as digits of the scaled integer."""
        scaled = self._get_scaled_inflation(ctx)
        return wallet_pb2.QueryInflationResponse(inflation=str(scaled).encode())

    def _get_scaled_inflation(self, ctx: Context) -> int:
        supply = self._bank.get_supply(ctx)
        yearly = self.get_consensus_emission(ctx) * BLOCKS_PER_YEAR
        return yearly * 10**18 // supply if supply else 0

    @query("AnnualProvisions", WALLET_SERVICE.full_name)
    def query_annual_provisions(self, ctx: Context, request: Any) -> Any:
        """Answer a year's consensus emission, as digits of the scaled integer."""
        yearly = self.get_consensus_emission(ctx) * BLOCKS_PER_YEAR * 10**18
        return wallet_pb2.QueryAnnualProvisionsResponse(annual_provisions=str(yearly).encode())

    def on_params_change(self, ctx: Context, before: Any, after: Any) -> None:
        """Refuse a cap below what is issued.

        Raises: InvalidRequest.
        """
        issued = self.storage.issued_udsc.expect(ctx)
        text = f"{issued} udsc are issued, the cap cannot be {after.supply_cap_udsc} udsc"
        ensure(issued <= after.supply_cap_udsc, InvalidRequest, text)

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
