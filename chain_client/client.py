"""`ChainClient`: the client on asyncio.

```
async with ChainClient.connect("127.0.0.1:9090", chain_id="descent-devnet-1") as client:
    run = await client.get_run(1)
    result = await client.submit(key, [MsgSetEndpoint(...)])
    async for height in client.follow_heights():
        ...
```
"""

import asyncio
import time
from collections.abc import AsyncIterator, Generator, Sequence
from typing import Any, Self, TypeVar

from chain_client.core import SUBMIT_TIMEOUT_S, ClientCore, Superseded, list_nothing
from chain_client.effects import AsyncClock, AsyncTransport, Call, Now, Operation, Sleep
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


class _LoopClock:
    def now(self) -> float:
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class ChainClient:
    """One node's chain, for any number of tasks of one event loop.

    Every method raises `NodeUnreachable` when no answer comes within `retry_for_s`, `NotFound` when
    there is no such thing, and `QueryFailed` when the node refuses the question.
    """

    def __init__(
        self,
        transport: AsyncTransport,
        *,
        chain_id: str | None = None,
        retry_for_s: float = 15.0,
        at_height: int = 0,
        clock: AsyncClock | None = None,
    ) -> None:
        self._core = ClientCore(
            expected_chain_id=chain_id, retry_for_s=retry_for_s, at_height=at_height
        )
        self._transport = transport
        self._clock: AsyncClock = clock or _LoopClock()
        self._locks: dict[str, asyncio.Lock] = {}

    @classmethod
    def connect(
        cls,
        endpoint: str = DEFAULT_ENDPOINT,
        chain_id: str | None = None,
        *,
        retry_for_s: float = 15.0,
        at_height: int = 0,
    ) -> Self:
        """Return a client of the door at `endpoint`; the first call opens the socket.

        `HOST:PORT` is a Cosmos gRPC door, `ws://HOST:PORT` a Substrate door. Several, separated by
        commas, are doors of nodes of one chain: the next is asked when one is lost.

        Use it as `async with`, or `await` it and call `close` at the end.

        Args:
            chain_id: refuse to sign for any other chain.
            retry_for_s: how long queries go on asking a node that does not answer.
            at_height: what queries speak of unless they name a height; 0 is the newest.
        """
        from chain_client.failover import FailoverTransport, split_endpoints
        from chain_client.substrate_transport import SubstrateTransport, is_substrate
        from chain_client.transport import GrpcTransport

        transports: list[AsyncTransport] = [
            SubstrateTransport(one) if is_substrate(one) else GrpcTransport(one)
            for one in split_endpoints(endpoint)
        ]
        transport = FailoverTransport(transports) if len(transports) > 1 else transports[0]
        return cls(transport, chain_id=chain_id, retry_for_s=retry_for_s, at_height=at_height)

    def __await__(self) -> Generator[Any, None, Self]:
        return self.__aenter__().__await__()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Give sockets back."""
        await self._transport.close()

    async def query(self, method: str, request: Any, response_type: Any, *, height: int = 0) -> Any:
        """Ask any question: `query("/descent.runs.v1.Query/Run", request, QueryRunResponse)`.

        Args:
            height: answer as of this block, 0 for the newest.
        """
        return await self._drive(self._core.query(method, request, response_type, height=height))

    async def submit(
        self,
        key: Key,
        messages: Sequence[Any],
        *,
        gas: int | None = None,
        memo: str = "",
        timeout_s: float = SUBMIT_TIMEOUT_S,
        fee_udsc: int | None = None,
    ) -> TxResult:
        """Simulate, sign, send, and wait until a block holds the transaction.

        Calls with one key may overlap: numbers are handed out in order, and each call waits for
        its own block. Node restarts are outlived until the deadline; the same bytes are sent again,
        so nothing happens twice.

        Args:
            key: signs, and is the only signer of the messages.
            gas: limit; None simulates.
            timeout_s: deadline for the whole call.
            fee_udsc: None pays the node's minimum price for the limit.

        Raises:
            TxRefused: by simulation, mempool or execution.
            TxTimeout: sent, and in no block at the deadline.
            NodeUnreachable: could not be sent before the deadline.
            ChainMismatch: the node serves another chain.
        """
        deadline = self._clock.now() + timeout_s
        lock = self._locks.setdefault(key.address, asyncio.Lock())
        while True:
            async with lock:
                pending = await self._drive(
                    self._core.broadcast(
                        key, messages, gas=gas, memo=memo, deadline=deadline, fee_udsc=fee_udsc
                    )
                )
            try:
                return await self._drive(self._core.wait(pending))
            except Superseded:
                continue

    async def submit_signed(
        self, raw: bytes, address: str, sequence: int, *, timeout_s: float = SUBMIT_TIMEOUT_S
    ) -> TxResult:
        """Send bytes that were signed elsewhere and wait; see `ClientCore.submit_signed`."""
        return await self._drive(self._core.submit_signed(raw, address, sequence, timeout_s))

    async def get_account(self, address: str) -> tuple[int, int]:
        """Return account number and next sequence."""
        found = await self._drive(self._core.account(address))
        return found.account_number, found.next_sequence

    async def simulate(self, key: Key, messages: Sequence[Any], *, memo: str = "") -> int:
        """Return the gas the messages would use; raises `TxRefused` when they would fail."""
        return await self._drive(self._core.simulate(key, messages, memo=memo))

    async def compute_fee(self, gas_limit: int) -> int:
        """Return what the node asks for so much gas, in udsc."""
        return compute_fee(gas_limit, await self._drive(self._core.gas_price()))

    async def look(self, ask: Ask) -> Look:
        """Ask several queries about the newest height in one call; see `watch.py`."""
        return await self._drive(self._core.look(ask))

    async def follow(self, ask: Ask, *, only_changes: bool = False) -> AsyncIterator[Look]:
        """Yield a look at the newest height each time it grows, for ever.

        The node holds each call until there is news. Heights may be skipped when blocks come
        faster than the caller returns. An unreachable node is asked again until it answers.

        Args:
            ask: the queries; see `watch.py`.
            only_changes: yield only when the answers are others than the time before.
        """
        last: Look | None = None
        while True:
            last = await self._drive(self._core.next_look(ask, last, only_changes=only_changes))
            yield last

    async def follow_heights(self) -> AsyncIterator[int]:
        """Yield the newest height each time it grows, for ever; see `follow`."""
        async for found in self.follow(list_nothing):
            yield found.height

    async def wait_height(self, height: int, *, timeout_s: float | None = None) -> int:
        """Return the newest height once it is at least `height`.

        Raises:
            TimeoutError: not within `timeout_s`.
        """
        return await self._drive(self._core.wait_height(height, timeout_s))

    async def _drive(self, operation: Operation[_T]) -> _T:
        """Perform the effects of an operation."""
        try:
            effect = next(operation)
            while True:
                if isinstance(effect, Call):
                    try:
                        answer = await self._transport.unary(effect)
                    except ChainClientError as error:
                        effect = operation.throw(error)
                        continue
                elif isinstance(effect, Sleep):
                    await self._clock.sleep(effect.seconds)
                    answer = None
                else:
                    assert isinstance(effect, Now)
                    answer = self._clock.now()
                effect = operation.send(answer)
        except StopIteration as stop:
            result: _T = stop.value
            return result

    async def node_info(self) -> Any:
        """Return `GetNodeInfoResponse`."""
        return await self._drive(self._core.node_info())

    async def node_status(self) -> Any:
        """Return `StatusResponse`: height, block time, app hash, oldest height kept."""
        return await self._drive(self._core.node_status())

    async def height(self) -> int:
        """Return the newest height."""
        return await self._drive(self._core.height())

    async def block_time(self) -> float:
        """Return the newest block's time, in seconds since 1970."""
        return await self._drive(self._core.block_time())

    async def chain_id(self) -> str:
        """Return the chain id; raises `ChainMismatch` when another was expected."""
        return await self._drive(self._core.chain_id())

    async def get_block(self, height: int = 0) -> Any:
        """Return `block_id` and `sdk_block` of a height, 0 for the newest."""
        return await self._drive(self._core.get_block(height))

    async def get_tx(self, tx_hash: str) -> TxResult:
        """Return a transaction a block holds; its `code` tells success."""
        return await self._drive(self._core.get_tx(tx_hash))

    async def get_balance(self, address: str) -> int:
        """Return the balance in udsc, 0 for an unknown account."""
        return await self._drive(self._core.get_balance(address))

    async def get_supply(self) -> int:
        """Return the total supply in udsc."""
        return await self._drive(self._core.get_supply())

    async def get_operators(self) -> list[Any]:
        """Return every staking operator (`cosmos.staking.v1beta1.Validator`)."""
        return await self._drive(self._core.get_operators())

    async def get_delegations(self, address: str) -> list[Any]:
        """Return the delegations of an account (`DelegationResponse`)."""
        return await self._drive(self._core.get_delegations(address))

    async def get_unbondings(self, address: str) -> list[Any]:
        """Return the unbonding delegations of an account."""
        return await self._drive(self._core.get_unbondings(address))

    async def get_run(self, run_id: int) -> runs_pb2.Run:
        """Return a run."""
        return await self._drive(self._core.get_run(run_id))

    async def get_runs(self) -> list[runs_pb2.Run]:
        """Return every run, by id."""
        return await self._drive(self._core.get_runs())

    async def get_spec(self, run_id: int) -> runs_pb2.RunSpec:
        """Return the specification of a run."""
        return await self._drive(self._core.get_spec(run_id))

    async def get_participants(self, run_id: int) -> list[runs_pb2.Participant]:
        """Return the participants of a run, by uid."""
        return await self._drive(self._core.get_participants(run_id))

    async def get_participant(
        self, run_id: int, *, uid: int | None = None, hotkey: str | None = None
    ) -> runs_pb2.Participant:
        """Return one participant, by uid or by hotkey."""
        return await self._drive(self._core.get_participant(run_id, uid=uid, hotkey=hotkey))

    async def get_burn_price(self, run_id: int) -> int:
        """Return what a seat in the run costs now, in udsc."""
        return await self._drive(self._core.get_burn_price(run_id))

    async def get_round(self, run_id: int, round_index: int) -> rounds_pb2.Round:
        """Return a round."""
        return await self._drive(self._core.get_round(run_id, round_index))

    async def get_current_round(self, run_id: int) -> rounds_pb2.Round:
        """Return the round in work."""
        return await self._drive(self._core.get_current_round(run_id))

    async def get_commitments(self, run_id: int, round_index: int) -> list[rounds_pb2.Commitment]:
        """Return the commitments of a round, by uid."""
        return await self._drive(self._core.get_commitments(run_id, round_index))

    async def get_attestations(
        self, run_id: int, round_index: int
    ) -> rounds_pb2.QueryAttestationsResponse:
        """Return `availabilities` and state `attestations` of a round."""
        return await self._drive(self._core.get_attestations(run_id, round_index))

    async def get_audit_targets(
        self, run_id: int, round_index: int
    ) -> list[rounds_pb2.AuditTarget]:
        """Return who is audited where and by whom; empty until the judge beacon is drawn."""
        return await self._drive(self._core.get_audit_targets(run_id, round_index))

    async def get_judgements(
        self, run_id: int, round_index: int
    ) -> weights_pb2.QueryJudgementsResponse:
        """Return weight `commits` and revealed `judgements` of a round."""
        return await self._drive(self._core.get_judgements(run_id, round_index))

    async def get_epoch(self, run_id: int, round_index: int | None = None) -> weights_pb2.Epoch:
        """Return the epoch that judged a round, the newest for None."""
        return await self._drive(self._core.get_epoch(run_id, round_index))

    async def get_vestings(self, run_id: int, uid: int) -> list[weights_pb2.Vesting]:
        """Return what a participant has yet to be paid."""
        return await self._drive(self._core.get_vestings(run_id, uid))

    async def get_checkpoint(
        self, run_id: int, round_index: int | None = None
    ) -> lineage_pb2.QueryCheckpointResponse:
        """Return `checkpoint`, and `judgement` once judged; None for the newest."""
        return await self._drive(self._core.get_checkpoint(run_id, round_index))

    async def get_checkpoints(self, run_id: int) -> list[lineage_pb2.Checkpoint]:
        """Return every checkpoint of a run, by round."""
        return await self._drive(self._core.get_checkpoints(run_id))

    async def get_checkpoint_by_root(self, root: bytes) -> lineage_pb2.QueryCheckpointResponse:
        """Return the checkpoint with this tensor root."""
        return await self._drive(self._core.get_checkpoint_by_root(root))
