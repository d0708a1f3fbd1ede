"""What a validator receives in a round: who counts, who does not, and why."""

from contextlib import AsyncExitStack
from pathlib import Path

from chain_client.blob.address import KIND_BLOB
from exact import state
from exact.state import State
from miner.attackers import AttackerKind, make_attacker
from miner.follower import RunFollower
from miner.setup import RunSetup
from proto.descent.weights.v1 import weights_pb2 as w
from tests.support.tiny_run import ScriptedChain, make_round, mine, open_follower
from validator.availability import Availability, Received
from validator.evaluate import apply_part, compute_gain, draw_assigned, draw_heldout

VALIDATOR, DEADLINE_SECONDS = 9, 30.0


class Net:
    """Miners 1..n and one validator; every round starts at the first weights."""

    def __init__(self, setup: RunSetup) -> None:
        self.setup = setup
        self.chain = ScriptedChain()
        self.theta = setup.make_initial_params()
        self.miners: dict[int, RunFollower] = {}
        self.carried: dict[int, State | None] = {}

    async def open(self, stack: AsyncExitStack, folder: Path, uids: list[int]) -> Availability:
        for uid in uids:
            opened = open_follower(self.setup, folder / str(uid), uid, self.chain)
            self.miners[uid] = await stack.enter_async_context(opened)
            self.carried[uid] = None
        opened = open_follower(self.setup, folder / "validator", VALIDATOR, self.chain)
        return Availability(await stack.enter_async_context(opened))

    async def play(self, index: int, attackers: dict[int, AttackerKind] | None = None) -> None:
        """Let everybody commit to a round."""
        for uid, miner in self.miners.items():
            kind = (attackers or {}).get(uid)
            cheat = None if kind is None else make_attacker(kind)
            info, carried = make_round(index), self.carried[uid]
            commitment = await mine(miner, uid, info, self.theta, carried, cheat)
            commitment.height = 10 * index + uid
            self.chain.commitments.setdefault(index, []).append(commitment)
            root, layout = commitment.optimiser_root_out, self.setup.optimiser_layout
            self.carried[uid] = miner.store.get_state(root, layout)


def get_reasons(received: dict[int, Received]) -> dict[int, str]:
    return {uid: w.ReasonCode.Name(item.reason)[12:] for uid, item in sorted(received.items())}


async def test_collect__honest_payloads_count(setup: RunSetup, tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        net = Net(setup)
        availability = await net.open(stack, tmp_path, [1, 2])
        for index in range(3):
            await net.play(index)
            received = await availability.collect(make_round(index), DEADLINE_SECONDS)
            assert get_reasons(received) == {1: "OK", 2: "OK"}


async def test_collect__copies_are_duplicates(setup: RunSetup, tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        net = Net(setup)
        availability = await net.open(stack, tmp_path, [1, 2])
        copier = {2: AttackerKind.COPIER}
        for index, text in enumerate(["made by uid 1, not 2", "same body as uid 1 of round 0"]):
            await net.play(index, copier)
            received = await availability.collect(make_round(index), DEADLINE_SECONDS)
            assert get_reasons(received) == {1: "OK", 2: "DUPLICATE"}
            assert text in received[2].detail


async def test_collect__junk_is_invalid(setup: RunSetup, tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        net = Net(setup)
        availability = await net.open(stack, tmp_path, [1, 2])
        await net.play(0, {2: AttackerKind.CORRUPT})
        received = await availability.collect(make_round(0), DEADLINE_SECONDS)
        assert get_reasons(received) == {1: "OK", 2: "INVALID_PAYLOAD"}


async def test_collect__bounds_and_silence(setup: RunSetup, tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        net = Net(setup)
        availability = await net.open(stack, tmp_path, [1, 2, 3, 4])
        await net.play(0)
        late, huge, absent, wrong_size = net.chain.commitments[0]
        late.late = True
        huge.payload_size = 2**40
        net.miners[3].store.blobs.remove(KIND_BLOB, absent.payload_hash)
        wrong_size.payload_size -= 1
        received = await availability.collect(make_round(0), DEADLINE_SECONDS)
        assert get_reasons(received) == {
            1: "LATE",
            2: "INVALID_PAYLOAD",
            3: "UNAVAILABLE",
            4: "UNAVAILABLE",
        }
        assert "1099511627776 bytes committed" in received[2].detail
        assert all(item.update is None for item in received.values())


async def test_gain__same_numbers_for_everybody(setup: RunSetup, tmp_path: Path) -> None:
    """Honest work lowers the loss on its own data, and two judges measure the same integers."""
    async with AsyncExitStack() as stack:
        net = Net(setup)
        availability = await net.open(stack, tmp_path, [1])
        await net.play(0)
        info = make_round(0)
        item = (await availability.collect(info, DEADLINE_SECONDS))[1]
        assert item.update is not None
        gains = []
        for _ in range(2):
            stepped = apply_part(setup, net.theta, item.update, 1)
            assigned = draw_assigned(setup, net.theta, info, 1)
            heldout = draw_heldout(setup, net.theta, info)
            gains.append(
                [compute_gain(setup, stepped, draw).nanonats for draw in (assigned, heldout)]
            )
            assert len(assigned.indices) == len(heldout.indices) == 64
        assert gains[0] == gains[1]
        assert gains[0][0] > 0
        assert state.checkpoint_root(net.theta) == state.checkpoint_root(
            setup.make_initial_params()
        )
