"""`SyncChainClient`: the client for scripts and notebooks; the calls of `ChainClient`, blocking."""

import time
from collections.abc import Iterator, Sequence
from threading import Lock
from typing import Any, Self, TypeVar

from chain_client.core import SUBMIT_TIMEOUT_S, ClientCore, Superseded, list_nothing
from chain_client.effects import Call, Now, Operation, Sleep, SyncClock, SyncTransport
from chain_client.errors import ChainClientError
from chain_client.keys import Key
from chain_client.tx import TxResult, compute_fee
from chain_client.watch import Ask, Look
from proto.descent.lineage.v1 import lineage_pb2
from proto.descent.rounds.v1 import rounds_pb2
from proto.descent.runs.v1 import runs_pb2
from proto.descent.weights.v1 import weights_pb2

DEFAULT_ENDPOINT = "127.0.0.1:9090"

_T = TypeVar("_T")


class _SystemClock:
    def now(self) -> float:
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)


class SyncChainClient:
    """One node's chain; `submit` may be called from several threads. See `ChainClient`."""

    def __init__(
        self,
        transport: SyncTransport,
        *,
        chain_id: str | None = None,
        retry_for_s: float = 15.0,
        clock: SyncClock | None = None,
    ) -> None:
        self._core = ClientCore(expected_chain_id=chain_id, retry_for_s=retry_for_s)
        self._transport = transport
        self._clock: SyncClock = clock or _SystemClock()
        self._lock = Lock()

    @classmethod
    def connect(
        cls,
        endpoint: str = DEFAULT_ENDPOINT,
        chain_id: str | None = None,
        *,
        retry_for_s: float = 15.0,
    ) -> Self:
        """Return a client of the door at `endpoint`; see `ChainClient.connect`."""
        from chain_client.failover import SyncFailoverTransport, split_endpoints
        from chain_client.substrate_transport import SyncSubstrateTransport, is_substrate
        from chain_client.transport import SyncGrpcTransport

        transports: list[SyncTransport] = [
            SyncSubstrateTransport(one) if is_substrate(one) else SyncGrpcTransport(one)
            for one in split_endpoints(endpoint)
        ]
        transport = SyncFailoverTransport(transports) if len(transports) > 1 else transports[0]
        return cls(transport, chain_id=chain_id, retry_for_s=retry_for_s)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Give sockets back."""
        self._transport.close()

    def query(self, method: str, request: Any, response_type: Any, *, height: int = 0) -> Any:
        """Ask any question, as of block `height` or of the newest."""
        return self._drive(self._core.query(method, request, response_type, height=height))

    def submit(
        self,
        key: Key,
        messages: Sequence[Any],
        *,
        gas: int | None = None,
        memo: str = "",
        timeout_s: float = SUBMIT_TIMEOUT_S,
        fee_udsc: int | None = None,
    ) -> TxResult:
        """Simulate, sign, send and wait; arguments and errors as `ChainClient.submit`."""
        deadline = self._clock.now() + timeout_s
        while True:
            with self._lock:
                pending = self._drive(
                    self._core.broadcast(
                        key, messages, gas=gas, memo=memo, deadline=deadline, fee_udsc=fee_udsc
                    )
                )
            try:
                return self._drive(self._core.wait(pending))
            except Superseded:
                continue

    def submit_signed(
        self, raw: bytes, address: str, sequence: int, *, timeout_s: float = SUBMIT_TIMEOUT_S
    ) -> TxResult:
        """Send bytes that were signed elsewhere and wait; see `ClientCore.submit_signed`."""
        return self._drive(self._core.submit_signed(raw, address, sequence, timeout_s))

    def get_account(self, address: str) -> tuple[int, int]:
        """Return account number and next sequence."""
        found = self._drive(self._core.account(address))
        return found.account_number, found.next_sequence

    def simulate(self, key: Key, messages: Sequence[Any], *, memo: str = "") -> int:
        """Return the gas the messages would use; raises `TxRefused` when they would fail."""
        return self._drive(self._core.simulate(key, messages, memo=memo))

    def compute_fee(self, gas_limit: int) -> int:
        """Return what the node asks for so much gas, in udsc."""
        return compute_fee(gas_limit, self._drive(self._core.gas_price()))

    def look(self, ask: Ask) -> Look:
        """Ask several queries about the newest height in one call; see `watch.py`."""
        return self._drive(self._core.look(ask))

    def follow(self, ask: Ask, *, only_changes: bool = False) -> Iterator[Look]:
        """Yield a look at the newest height each time it grows, for ever.

        The node holds each call until there is news. Heights may be skipped when blocks come
        faster than the caller returns. An unreachable node is asked again until it answers.

        Args:
            ask: the queries; see `watch.py`.
            only_changes: yield only when the answers are others than the time before.
        """
        last: Look | None = None
        while True:
            last = self._drive(self._core.next_look(ask, last, only_changes=only_changes))
            yield last

    def follow_heights(self) -> Iterator[int]:
        """Yield the newest height each time it grows, for ever; see `follow`."""
        for found in self.follow(list_nothing):
            yield found.height

    def wait_height(self, height: int, *, timeout_s: float | None = None) -> int:
        """Return the newest height once it is at least `height`.

        Raises:
            TimeoutError: not within `timeout_s`.
        """
        return self._drive(self._core.wait_height(height, timeout_s))

    def _drive(self, operation: Operation[_T]) -> _T:
        """Perform the effects of an operation."""
        try:
            effect = next(operation)
            while True:
                if isinstance(effect, Call):
                    try:
                        answer = self._transport.unary(effect)
                    except ChainClientError as error:
                        effect = operation.throw(error)
                        continue
                elif isinstance(effect, Sleep):
                    self._clock.sleep(effect.seconds)
                    answer = None
                else:
                    assert isinstance(effect, Now)
                    answer = self._clock.now()
                effect = operation.send(answer)
        except StopIteration as stop:
            result: _T = stop.value
            return result

    def node_info(self) -> Any:
        """Return `GetNodeInfoResponse`."""
        return self._drive(self._core.node_info())

    def node_status(self) -> Any:
        """Return `StatusResponse`: height, block time, app hash, oldest height kept."""
        return self._drive(self._core.node_status())

    def height(self) -> int:
        """Return the newest height."""
        return self._drive(self._core.height())

    def block_time(self) -> float:
        """Return the newest block's time, in seconds since 1970."""
        return self._drive(self._core.block_time())

    def chain_id(self) -> str:
        """Return the chain id; raises `ChainMismatch` when another was expected."""
        return self._drive(self._core.chain_id())

    def get_block(self, height: int = 0) -> Any:
        """Return `block_id` and `sdk_block` of a height, 0 for the newest."""
        return self._drive(self._core.get_block(height))

    def get_tx(self, tx_hash: str) -> TxResult:
        """Return a transaction a block holds; its `code` tells success."""
        return self._drive(self._core.get_tx(tx_hash))

    def get_balance(self, address: str) -> int:
        """Return the balance in udsc, 0 for an unknown account."""
        return self._drive(self._core.get_balance(address))

    def get_supply(self) -> int:
        """Return the total supply in udsc."""
        return self._drive(self._core.get_supply())

    def get_operators(self) -> list[Any]:
        """Return every staking operator (`cosmos.staking.v1beta1.Validator`)."""
        return self._drive(self._core.get_operators())

    def get_delegations(self, address: str) -> list[Any]:
        """Return the delegations of an account (`DelegationResponse`)."""
        return self._drive(self._core.get_delegations(address))

    def get_unbondings(self, address: str) -> list[Any]:
        """Return the unbonding delegations of an account."""
        return self._drive(self._core.get_unbondings(address))

    def get_run(self, run_id: int) -> runs_pb2.Run:
        """Return a run."""
        return self._drive(self._core.get_run(run_id))

    def get_runs(self) -> list[runs_pb2.Run]:
        """Return every run, by id."""
        return self._drive(self._core.get_runs())

    def get_spec(self, run_id: int) -> runs_pb2.RunSpec:
        """Return the specification of a run."""
        return self._drive(self._core.get_spec(run_id))

    def get_participants(self, run_id: int) -> list[runs_pb2.Participant]:
        """Return the participants of a run, by uid."""
        return self._drive(self._core.get_participants(run_id))

    def get_participant(
        self, run_id: int, *, uid: int | None = None, hotkey: str | None = None
    ) -> runs_pb2.Participant:
        """Return one participant, by uid or by hotkey."""
        return self._drive(self._core.get_participant(run_id, uid=uid, hotkey=hotkey))

    def get_burn_price(self, run_id: int) -> int:
        """Return what a seat in the run costs now, in udsc."""
        return self._drive(self._core.get_burn_price(run_id))

    def get_round(self, run_id: int, round_index: int) -> rounds_pb2.Round:
        """Return a round."""
        return self._drive(self._core.get_round(run_id, round_index))

    def get_current_round(self, run_id: int) -> rounds_pb2.Round:
        """Return the round in work."""
        return self._drive(self._core.get_current_round(run_id))

    def get_commitments(self, run_id: int, round_index: int) -> list[rounds_pb2.Commitment]:
        """Return the commitments of a round, by uid."""
        return self._drive(self._core.get_commitments(run_id, round_index))

    def get_attestations(
        self, run_id: int, round_index: int
    ) -> rounds_pb2.QueryAttestationsResponse:
        """Return `availabilities` and state `attestations` of a round."""
        return self._drive(self._core.get_attestations(run_id, round_index))

    def get_audit_targets(self, run_id: int, round_index: int) -> list[rounds_pb2.AuditTarget]:
        """Return who is audited where and by whom; empty until the judge beacon is drawn."""
        return self._drive(self._core.get_audit_targets(run_id, round_index))

    def get_judgements(self, run_id: int, round_index: int) -> weights_pb2.QueryJudgementsResponse:
        """Return weight `commits` and revealed `judgements` of a round."""
        return self._drive(self._core.get_judgements(run_id, round_index))

    def get_epoch(self, run_id: int, round_index: int | None = None) -> weights_pb2.Epoch:
        """Return the epoch that judged a round, the newest for None."""
        return self._drive(self._core.get_epoch(run_id, round_index))

    def get_vestings(self, run_id: int, uid: int) -> list[weights_pb2.Vesting]:
        """Return what a participant has yet to be paid."""
        return self._drive(self._core.get_vestings(run_id, uid))

    def get_checkpoint(
        self, run_id: int, round_index: int | None = None
    ) -> lineage_pb2.QueryCheckpointResponse:
        """Return `checkpoint`, and `judgement` once judged; None for the newest."""
        return self._drive(self._core.get_checkpoint(run_id, round_index))

    def get_checkpoints(self, run_id: int) -> list[lineage_pb2.Checkpoint]:
        """Return every checkpoint of a run, by round."""
        return self._drive(self._core.get_checkpoints(run_id))

    def get_checkpoint_by_root(self, root: bytes) -> lineage_pb2.QueryCheckpointResponse:
        """Return the checkpoint with this tensor root."""
        return self._drive(self._core.get_checkpoint_by_root(root))
