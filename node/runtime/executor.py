"""Runs transactions: decode, ante, messages, events, in snapshots that roll back whole.

Exactly one result a transaction. A `ChainError` is a refusal and becomes the result; any other
exception is a bug and is not caught, so the node stops.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from cosmos.base.abci.v1beta1 import abci_pb2

from node.runtime.ante import AnteHandler, Mode, decode_payer
from node.runtime.context import BlockInfo, Context
from node.runtime.errors import ChainError, InvalidGasLimit, OutOfGas, TxTooLarge
from node.runtime.events import encode_event
from node.runtime.gas import GasMeter
from node.runtime.runtime import Runtime
from node.runtime.state import Overlay
from node.runtime.substrate.ante import ExtrinsicAnte
from node.runtime.substrate.calls import CallTable
from node.runtime.substrate.extrinsic import Extrinsic, decode_extrinsic, is_extrinsic
from node.runtime.tx import DecodedTx, decode_tx
from proto.packing import pack_any

MAX_GAS_LIMIT = 2**63 - 1
MAX_REMEMBERED = 10_000
"""Decoded transactions kept until they are in a block; decoding again gives the same."""

MAX_REMEMBERED_BYTES = 2**12


@dataclass
class TxOutcome:
    """What a transaction did: fields of `ExecTxResult`, `ResponseCheckTx` and simulations."""

    code: int = 0
    codespace: str = ""
    log: str = ""
    data: bytes = b""
    gas_wanted: int = 0
    gas_used: int = 0
    events: list[bytes] = field(default_factory=list)
    """Encoded `tendermint.abci.Event`s."""
    error: ChainError | None = None
    has_deadline: bool = False
    """Whether the transaction is valid up to some block time only."""
    payers: tuple[bytes, ...] = ()
    """Whose accounts decide whether it passes the checks, and are changed by them."""

    def refuse(self, error: ChainError, log: str) -> None:
        """Take over a refusal."""
        self.code, self.codespace, self.log, self.error = error.code, error.codespace, log, error


class TxExecutor:
    """Runs one transaction at a time.

    Args:
        runtime, ante: what to run.
        max_tx_bytes: refused above, in every mode.
        extrinsic_ante, table: the same for extrinsics; None where the chain takes none.
    """

    def __init__(
        self,
        runtime: Runtime,
        ante: AnteHandler,
        max_tx_bytes: int,
        extrinsic_ante: ExtrinsicAnte | None = None,
        table: CallTable | None = None,
    ) -> None:
        self._runtime = runtime
        self._ante = ante
        self._max_tx_bytes = max_tx_bytes
        self._extrinsic_ante = extrinsic_ante
        self._table = table
        self._decoded: dict[bytes, DecodedTx | Extrinsic] = {}

    def run(
        self, state: Overlay, block: BlockInfo, raw: bytes, mode: Mode, max_gas: int = -1
    ) -> TxOutcome:
        """Run a transaction over `state`.

        Args:
            state: receives the writes of ante and, if they succeed, of the messages.
            max_gas: gas limit of a block, -1 for none.
        """
        outcome = TxOutcome()
        try:
            tx = self._decode(raw, is_last=mode is Mode.DELIVER)
            outcome.has_deadline = isinstance(tx, DecodedTx) and tx.has_deadline
            outcome.gas_wanted = min(tx.gas_limit, MAX_GAS_LIMIT)
            if max_gas >= 0 and mode is not Mode.SIMULATE and tx.gas_limit > max_gas:
                raise InvalidGasLimit(
                    f"tx gas limit {tx.gas_limit} exceeds block max gas {max_gas}"
                )
        except ChainError as error:
            outcome.refuse(error, str(error))
            return outcome
        meter = GasMeter(None if mode is Mode.SIMULATE else tx.gas_limit)
        ctx = Context(state, block, meter)
        try:
            with ctx.snapshot():
                self._run_ante(ctx, tx, mode)
        except ChainError as error:
            self._decoded.pop(raw, None)  # junk must not take the place of what comes again
            outcome.refuse(error, str(error))
            outcome.gas_used = min(meter.used, MAX_GAS_LIMIT)
            return outcome
        outcome.payers = list_payers(tx)
        if mode in (Mode.DELIVER, Mode.SIMULATE):
            outcome.events = [encode_event(event) for event in ctx.events]
        ctx.events.clear()
        if mode not in (Mode.CHECK, Mode.RECHECK):
            self._run_messages(ctx, tx, outcome)
        if mode is Mode.DELIVER and isinstance(tx, Extrinsic):
            self._settle_fee(state, block, tx, outcome, meter.used)
        outcome.gas_used = min(meter.used, MAX_GAS_LIMIT)
        return outcome

    def _run_ante(self, ctx: Context, tx: DecodedTx | Extrinsic, mode: Mode) -> None:
        if isinstance(tx, DecodedTx):
            self._ante.run(ctx, tx, mode)
        elif self._extrinsic_ante is not None:
            self._extrinsic_ante.run(ctx, tx, mode)

    def _settle_fee(
        self, state: Overlay, block: BlockInfo, tx: Extrinsic, outcome: TxOutcome, gas_used: int
    ) -> None:
        """Charge an extrinsic for what it used; this itself is free."""
        ctx = Context(state, block)
        if self._extrinsic_ante is not None:
            self._extrinsic_ante.settle(ctx, tx, gas_used)
        outcome.events += [encode_event(event) for event in ctx.events]

    def _decode(self, raw: bytes, is_last: bool) -> DecodedTx | Extrinsic:
        """Decode, or take what was decoded before; `is_last` takes it away."""
        known = self._decoded.pop(raw, None) if is_last else self._decoded.get(raw)
        if known is not None:
            return known
        if len(raw) > self._max_tx_bytes:
            raise TxTooLarge(f"tx has {len(raw)} bytes, limit {self._max_tx_bytes}")
        tx: DecodedTx | Extrinsic
        if self._table is not None and is_extrinsic(raw):
            tx = decode_extrinsic(raw, self._table)
        else:
            tx = decode_tx(raw, lambda type_url: self._runtime.get_call(type_url).message_class)
        if not is_last and len(raw) <= MAX_REMEMBERED_BYTES:
            if len(self._decoded) >= MAX_REMEMBERED:
                del self._decoded[next(iter(self._decoded))]
            self._decoded[raw] = tx
        return tx

    def _run_messages(self, ctx: Context, tx: DecodedTx | Extrinsic, outcome: TxOutcome) -> None:
        data = abci_pb2.TxMsgData()
        events: list[bytes] = []
        index = 0
        try:
            with ctx.snapshot():
                for index, (type_url, message) in enumerate(tx.messages):
                    response = self._runtime.dispatch(ctx, type_url, message)
                    data.msg_responses.append(pack_any(response))
                    events += [encode_event(event, index) for event in ctx.events]
                    ctx.events.clear()
        except OutOfGas as error:
            outcome.refuse(error, str(error))
        except ChainError as error:
            log = f"failed to execute message; message index: {index}: {error}"
            outcome.refuse(error, log)
        else:
            outcome.data = data.SerializeToString(deterministic=True)
            outcome.events += events


def list_payers(tx: DecodedTx | Extrinsic) -> tuple[bytes, ...]:
    """List the accounts that a transaction which passed the checks is signed and paid by."""
    if not isinstance(tx, DecodedTx):
        return (tx.signer,)
    if tx.fee.granter:
        return (*tx.facts.signers, decode_payer(tx.fee.granter))
    return tuple(tx.facts.signers)
