"""The client without I/O: every operation is a generator of effects (`effects.py`).

Sending a transaction, step by step:

1. `broadcast` (one at a time per account, the shell holds a lock): learn chain id, gas price and
   account; simulate for the gas limit; sign; send. A sequence mismatch is answered by signing again
   with the number the node expects. An unreachable node is asked again with the same bytes: the
   hash makes that harmless.
2. `wait` (any number at once): have the node tell when a block holds the hash. Now and then the
   same bytes are sent again, because a node that restarted has lost its mempool. If the account's
   committed sequence has moved past ours and a node that keeps every block since we signed does not
   know the hash, another transaction took the number and ours can never be included: `Superseded`
   asks the shell to start again.

Nodes may change between any two calls (`failover.py`). Bytes that some node may have are therefore
never signed again with another number before that proof, which one node gives in one answer.

Every loop ends at a deadline.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, TypeVar

from cosmos.auth.v1beta1.auth_pb2 import BaseAccount
from cosmos.auth.v1beta1.query_pb2 import QueryAccountRequest, QueryAccountResponse
from cosmos.base.node.v1beta1 import query_pb2 as node_pb2
from cosmos.tx.v1beta1 import service_pb2

from chain_client import tx as txs
from chain_client.effects import Call, Now, Operation, Sleep
from chain_client.errors import (
    ChainMismatch,
    NodeUnreachable,
    NotFound,
    QueryFailed,
    TxRefused,
    TxTimeout,
)
from chain_client.keys import Key
from chain_client.reads import ReadOperations
from chain_client.watch import WAIT_S, Ask, Look, look

T = TypeVar("T")

SUBMIT_TIMEOUT_S = 30.0
FIRST_POLL_S = 0.1
POLL_GROWTH = 1.3
REBROADCAST_EVERY_S = 3.0
MAX_RESIGNS = 8  # sequence or fee corrections in one broadcast
BETWEEN_LOOKS_S = 0.05  # should a node answer at once when asked to wait


class Superseded(Exception):
    """Another transaction took the sequence number: nothing was done, start again. Internal."""


@dataclass(frozen=True)
class Pending:
    """A transaction the node has accepted for a block."""

    signed: txs.SignedTx
    address: str
    deadline: float
    after_height: int  # no block up to this one holds it


@dataclass
class ClientCore(ReadOperations):
    """Operations and what they remember: chain id, gas price, sequence numbers.

    Attributes:
        expected_chain_id: refuse to sign for another chain; None accepts the node's.
        retry_for_s: how long a query goes on asking an unreachable node.
        at_height: of queries that name no height; 0 is the newest.
    """

    expected_chain_id: str | None = None
    retry_for_s: float = 0.0
    at_height: int = 0
    sequences: txs.SequenceTracker = field(default_factory=txs.SequenceTracker)
    _chain_id: str | None = None
    _gas_price: Decimal | None = None
    _seen_height: int = 0

    def query(
        self, method: str, request: Any, response_type: Any, *, height: int = 0
    ) -> Operation[Any]:
        """Ask one question; ask again for `retry_for_s` while the node is unreachable.

        Args:
            height: answer as of this block, 0 for `at_height`.
        """
        height = height or self.at_height
        metadata = (("x-cosmos-block-height", str(height)),) if height else ()
        call = Call(method, request, response_type, metadata=metadata)
        return (yield from self._retry(lambda: _ask(call)))

    def look(self, ask: Ask) -> Operation[Look]:
        """Ask several queries about the newest height, as `query` asks one."""
        found = yield from self._retry(lambda: look(ask))
        self._seen_height = max(self._seen_height, found.height)
        return found

    def _retry(self, attempt: Callable[[], Operation[T]]) -> Operation[T]:
        """Try for `retry_for_s` while the node is unreachable, less and less often."""
        deadline: float = (yield Now()) + self.retry_for_s
        delay = FIRST_POLL_S
        while True:
            try:
                return (yield from attempt())
            except NodeUnreachable:
                if (yield Now()) + delay > deadline:
                    raise
            yield Sleep(delay)
            delay = min(delay * POLL_GROWTH, 1.0)

    def next_look(
        self, ask: Ask, last: Look | None, *, only_changes: bool = False
    ) -> Operation[Look]:
        """Wait for a height after that of `last`, and for other answers if `only_changes`.

        An unreachable node is asked again until it answers.
        """
        after = 0 if last is None else last.height
        known = last.digest if only_changes and last is not None else b""
        delay = FIRST_POLL_S
        while True:
            try:
                found = yield from look(ask, after=after, known=known, wait_s=WAIT_S)
                self._seen_height = max(self._seen_height, found.height)
                if found.height > after and found.digest != known:
                    return found
                after, delay = max(after, found.height), FIRST_POLL_S
            except NodeUnreachable:
                delay = min(delay * 1.5, 2.0)
            yield Sleep(delay)

    def wait_height(self, height: int, timeout_s: float | None) -> Operation[int]:
        """Return the newest height once it is at least `height`.

        Raises:
            TimeoutError: not within `timeout_s`.
        """
        deadline = None if timeout_s is None else (yield Now()) + timeout_s
        found = yield from self.look(list_nothing)
        while found.height < height:
            left = WAIT_S if deadline is None else deadline - (yield Now())
            if left <= 0:
                raise TimeoutError(f"height {height} not reached, the node is at {found.height}")
            try:
                found = yield from look(list_nothing, after=height - 1, wait_s=min(left, WAIT_S))
            except NodeUnreachable:
                if deadline is None:
                    raise
            if found.height < height:
                yield Sleep(FIRST_POLL_S)
        return found.height

    def chain_id(self) -> Operation[str]:
        """Return the node's chain id, checked against the expected one.

        Raises:
            ChainMismatch: they differ.
        """
        if self._chain_id is None:
            info = yield from self.node_info()
            found = str(info.default_node_info.network)
            if self.expected_chain_id not in (None, found):
                raise ChainMismatch(
                    f"the node serves chain {found!r}, not {self.expected_chain_id!r}",
                    hint="--node HOST:PORT names another node, --chain-id another chain",
                )
            self._chain_id = found
        return self._chain_id

    def gas_price(self) -> Operation[Decimal]:
        """Return the node's minimum gas price in udsc, or the default when it does not say."""
        if self._gas_price is None:
            try:
                config = yield from self.query(
                    "/cosmos.base.node.v1beta1.Service/Config",
                    node_pb2.ConfigRequest(),
                    node_pb2.ConfigResponse,
                )
                self._gas_price = txs.parse_gas_price(config.minimum_gas_price)
            except NodeUnreachable:
                raise
            except QueryFailed:
                self._gas_price = txs.DEFAULT_GAS_PRICE
        return self._gas_price

    def account(self, address: str) -> Operation[txs.AccountSequence]:
        """Return account number and committed sequence.

        Raises:
            NotFound: the account has never received anything.
        """
        return (yield from ask_account(self, address))

    def broadcast(
        self,
        key: Key,
        messages: Sequence[Any],
        *,
        gas: int | None,
        memo: str,
        deadline: float,
        fee_udsc: int | None = None,
    ) -> Operation[Pending]:
        """Sign and send until the node has it; see the module docstring.

        Raises:
            TxRefused: by simulation or by the mempool.
            NodeUnreachable: until the deadline.
        """
        chain_id = yield from self.chain_id()
        account = yield from self._next_sequence(key.address)
        after_height = self._seen_height
        gas_limit = gas or txs.compute_gas_limit(
            (yield from self.simulate(key, messages, account=account, memo=memo))
        )
        fee = fee_udsc
        if fee is None:
            fee = txs.compute_fee(gas_limit, (yield from self.gas_price()))
        for _ in range(MAX_RESIGNS):
            signed = txs.build_tx(
                key,
                messages,
                chain_id=chain_id,
                account_number=account.account_number,
                sequence=account.next_sequence,
                gas_limit=gas_limit,
                fee_udsc=fee,
                memo=memo,
            )
            try:
                answer, is_there = yield from self._send(signed, deadline)
            except NodeUnreachable:
                self.sequences.forget(key.address)
                raise
            expected = txs.parse_expected_sequence(answer.raw_log)
            if answer.code == 0 or is_there:
                account.next_sequence = signed.sequence + 1
                return Pending(signed, key.address, deadline, after_height)
            if answer.code and answer.codespace != txs.SDK:
                break
            if answer.code == txs.CODE_WRONG_SEQUENCE and expected is not None:
                account.next_sequence = expected
                continue
            if answer.code == txs.CODE_ALREADY_IN_MEMPOOL:
                # Not by us: another process of this key sent the very same bytes. Ours comes next.
                account.next_sequence = signed.sequence + 1
                continue
            required = txs.parse_required_fee(answer.raw_log)
            if answer.code == txs.CODE_INSUFFICIENT_FEE and required and fee_udsc is None:
                fee, self._gas_price = required, Decimal(required) / gas_limit
                continue
            break
        self.sequences.forget(key.address)
        raise txs.refusal(
            answer.raw_log, codespace=answer.codespace, code=answer.code, tx_hash=signed.tx_hash
        )

    def submit_signed(
        self, raw: bytes, address: str, sequence: int, timeout_s: float
    ) -> Operation[txs.TxResult]:
        """Send a transaction that was signed elsewhere, and wait until a block holds it.

        Sending what a block holds already does nothing and answers with what it did.

        Args:
            address, sequence: of the signer; see `tx.find_signer`.

        Raises:
            TxRefused: by mempool or execution, or another transaction has its number.
            TxTimeout: sent, and in no block at the deadline.
            NodeUnreachable: could not be sent before the deadline.
        """
        deadline = (yield Now()) + timeout_s
        after_height = yield from self.height()
        signed = txs.SignedTx(raw, sequence, 0, 0)
        answer, is_there = yield from self._send(signed, deadline)
        if answer.code and not is_there:
            try:
                return (yield from self.get_tx(signed.tx_hash))
            except NotFound:
                raise txs.refusal(
                    answer.raw_log,
                    codespace=answer.codespace,
                    code=answer.code,
                    tx_hash=signed.tx_hash,
                ) from None
        try:
            return (yield from self.wait(Pending(signed, address, deadline, after_height)))
        except Superseded:
            raise TxRefused(
                f"another transaction of {address} has sequence {sequence}",
                tx_hash=signed.tx_hash,
                hint="sign it again",
            ) from None

    def simulate(
        self,
        key: Key,
        messages: Sequence[Any],
        *,
        account: txs.AccountSequence | None = None,
        memo: str = "",
    ) -> Operation[int]:
        """Return the gas the messages use on the committed state.

        Raises:
            TxRefused: they would fail.
        """
        if account is None:
            account = yield from self.account(key.address)
        sequence = account.next_sequence
        chain_id = yield from self.chain_id()
        # Paying a fee takes gas too, whatever its size; a node that asks none is paid none.
        fee_udsc = 1 if (yield from self.gas_price()) else 0
        for _ in range(MAX_RESIGNS):
            signed = txs.build_tx(
                key,
                messages,
                chain_id=chain_id,
                account_number=account.account_number,
                sequence=sequence,
                gas_limit=0,
                fee_udsc=fee_udsc,
                memo=memo,
            )
            try:
                response = yield from self.query(
                    "/cosmos.tx.v1beta1.Service/Simulate",
                    service_pb2.SimulateRequest(tx_bytes=signed.raw),
                    service_pb2.SimulateResponse,
                )
                return int(response.gas_info.gas_used)
            except NodeUnreachable:
                raise
            except QueryFailed as error:
                # The node simulates on committed state, where earlier transactions of this account
                # may not have happened yet: simulate with the number it has.
                expected = txs.parse_expected_sequence(error.message)
                if expected is None or expected == sequence:
                    known = error.codespace != "client"
                    raise txs.refusal(
                        error.message,
                        codespace=error.codespace if known else "",
                        code=error.code if known else 0,
                    ) from None
                sequence = expected
        raise TxRefused("the node keeps naming another sequence for this account in simulation")

    def wait(self, pending: Pending) -> Operation[txs.TxResult]:
        """Wait for the block that holds the transaction.

        Raises:
            TxRefused: it failed on execution; fee and sequence number are spent.
            TxTimeout: the deadline passed.
        """
        last = None
        resend_at = (yield Now()) + REBROADCAST_EVERY_S
        while True:
            last = yield from self._look_for(pending, last, resend_at)
            result = None if last is None else last.answers[0]
            if result is not None:
                return self._take_result(pending, result)
            yield Sleep(FIRST_POLL_S if last is None else BETWEEN_LOOKS_S)
            now: float = yield Now()
            if now > pending.deadline:
                self.sequences.forget(pending.address)
                raise TxTimeout(
                    "the transaction was sent and no block holds it yet",
                    tx_hash=pending.signed.tx_hash,
                    hint=f"look again: `descent query tx {pending.signed.tx_hash}`",
                )
            if now >= resend_at:
                if (yield from self._resend(pending)):
                    self.sequences.forget(pending.address)
                    raise Superseded
                resend_at = now + REBROADCAST_EVERY_S

    def _next_sequence(self, address: str) -> Operation[txs.AccountSequence]:
        known = self.sequences.get(address)
        if known is not None:
            return known
        found = yield from self.look(lambda reads: [ask_account(reads, address)])
        (account,) = found.answers
        if account is None:
            text = f"account {address} is not on the chain"
            raise txs.refusal(text, codespace=txs.SDK, code=9)
        return self.sequences.learn(address, account.account_number, account.next_sequence)

    def _send(self, signed: txs.SignedTx, deadline: float) -> Operation[tuple[Any, bool]]:
        """Send until answered: the answer, and whether the bytes may be there already."""
        is_uncertain, delay = False, FIRST_POLL_S
        request = service_pb2.BroadcastTxRequest(
            tx_bytes=signed.raw, mode=service_pb2.BROADCAST_MODE_SYNC
        )
        while True:
            try:
                response = yield Call(
                    "/cosmos.tx.v1beta1.Service/BroadcastTx",
                    request,
                    service_pb2.BroadcastTxResponse,
                )
            except NodeUnreachable:
                is_uncertain = True
                if (yield Now()) + delay > deadline:
                    raise
            else:
                answer = response.tx_response
                expected = txs.parse_expected_sequence(answer.raw_log)
                # A lower number than ours: this node lacks what came before, another may not.
                is_there = is_uncertain and (
                    answer.code == txs.CODE_ALREADY_IN_MEMPOOL or expected is not None
                )
                is_full = answer.codespace == txs.SDK and answer.code == txs.CODE_MEMPOOL_FULL
                if not is_full or (yield Now()) + delay > deadline:
                    return answer, is_there
            yield Sleep(delay)
            delay = min(delay * POLL_GROWTH, 1.0)

    def _look_for(
        self, pending: Pending, last: Look | None, until: float
    ) -> Operation[Look | None]:
        """Look for the transaction in a block; after a first look, wait for it until a time.

        Returns:
            None while no node answers.
        """
        wait_s = 0.0
        if last is not None:
            wait_s = max(0.0, min(until, pending.deadline) - (yield Now()))
        try:
            return (
                yield from look(
                    lambda reads: [reads.get_tx(pending.signed.tx_hash)],
                    after=0 if last is None else last.height,
                    known=b"" if last is None else last.digest,
                    wait_s=min(wait_s, WAIT_S),
                )
            )
        except NodeUnreachable:
            return None

    def _take_result(self, pending: Pending, result: txs.TxResult) -> txs.TxResult:
        """Return what a block says of the transaction; raise what it refused."""
        if result.code:
            self.sequences.forget(pending.address)
            raise txs.refusal(
                result.raw_log,
                codespace=result.codespace,
                code=result.code,
                tx_hash=result.tx_hash,
                height=result.height,
            )
        return result

    def _resend(self, pending: Pending) -> Operation[bool]:
        """Send the same bytes again, unless that is in vain for ever: true then."""
        request = service_pb2.BroadcastTxRequest(
            tx_bytes=pending.signed.raw, mode=service_pb2.BROADCAST_MODE_SYNC
        )
        try:
            found = yield from look(lambda reads: list_proof_questions(reads, pending))
            account, newest, is_kept, result = found.answers
            if account is not None and account.next_sequence > pending.signed.sequence:
                # Blocks may be shown later than the state they lead to; then it is no proof yet.
                is_whole = newest is not None and newest.sdk_block.header.height >= found.height
                return bool(is_kept and is_whole and result is None)
            yield Call(
                "/cosmos.tx.v1beta1.Service/BroadcastTx", request, service_pb2.BroadcastTxResponse
            )
        except (NodeUnreachable, QueryFailed):
            return False
        return False


def ask_account(reads: ReadOperations, address: str) -> Operation[txs.AccountSequence]:
    """Ask account number and committed sequence.

    Raises:
        NotFound: the account has never received anything.
    """
    response = yield from reads.query(
        "/cosmos.auth.v1beta1.Query/Account",
        QueryAccountRequest(address=address),
        QueryAccountResponse,
    )
    account = BaseAccount.FromString(response.account.value)
    return txs.AccountSequence(account.account_number, account.sequence)


def list_proof_questions(reads: ReadOperations, pending: Pending) -> list[Operation[Any]]:
    """List what proves that a transaction will never be included; blocks are asked first."""
    return [
        ask_account(reads, pending.address),
        reads.get_block(),
        _ask_whether_kept(reads, pending.after_height + 1),
        reads.get_tx(pending.signed.tx_hash),
    ]


def _ask_whether_kept(reads: ReadOperations, height: int) -> Operation[bool]:
    """Ask whether a node keeps the block of a height."""
    try:
        yield from reads.get_block(height)
    except NodeUnreachable:
        raise
    except QueryFailed:
        return False
    return True


def _ask(call: Call) -> Operation[Any]:
    """Ask one question once."""
    return (yield call)


def list_nothing(reads: ReadOperations) -> list[Operation[Any]]:
    """Ask for the height alone."""
    return []
