"""First weights that no seed makes: kept on one machine, fetched by hash from it, trained on."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from exact.data.weights import find_weights, keep_weights
from exact.errors import UnfaithfulDevice
from exact.state import State, checkpoint_root
from miner.errors import CheckpointUnavailable
from miner.participant import adopt_weights
from miner.setup import RunSetup
from miner.storage import ParticipantStore
from proto.descent.runs.v1 import runs_pb2
from tests.support.tiny_run import ScriptedChain, make_round, make_setup, mine, open_follower


class Chain(ScriptedChain):
    """Knows the first checkpoint."""

    def __init__(self, root: bytes) -> None:
        super().__init__()
        self._root = root

    async def get_checkpoint(self, _run_id: int, round_index: int) -> SimpleNamespace:
        assert round_index == 0
        return SimpleNamespace(checkpoint=SimpleNamespace(root=self._root))


@pytest.fixture
def imported(tmp_path: Path) -> tuple[RunSetup, State]:
    """A llama run that starts from given weights, and the weights."""
    made = make_setup(tmp_path / "setup")
    spec = made.spec
    spec.model.family = "llama"
    spec.imported_weights = True
    setup = RunSetup(made.run_id, spec, made.spec_hash, made.dataset, made.backend)
    rng = np.random.default_rng(2)
    params = {
        name: (rng.standard_normal(tensor.shape) * 0.3).astype(np.float32)
        for name, tensor in setup.make_initial_params().items()
    }
    spec.initial_root = checkpoint_root(params)
    return setup, params


async def test_one_machine_has_them_and_another_fetches_them(
    imported: tuple[RunSetup, State], tmp_path: Path
) -> None:
    setup, params = imported
    chain = Chain(keep_weights(tmp_path / "data", params))
    async with (
        open_follower(setup, tmp_path / "a", 0, chain) as owner,
        open_follower(setup, tmp_path / "b", 1, chain) as stranger,
    ):
        with pytest.raises(CheckpointUnavailable, match="no peer served checkpoint 0"):
            await stranger.get_checkpoint(0)
        adopt_weights(setup, owner.store, tmp_path / "data")
        adopt_weights(setup, stranger.store, tmp_path / "nothing")
        for follower in (owner, stranger):
            theta = await follower.get_checkpoint(0)
            assert checkpoint_root(theta) == setup.spec.initial_root
        # And they are trained on.
        commitment = await mine(stranger, 1, make_round(), theta)
        assert commitment.payload_size > 0


def test_weights_of_another_root_or_layout_are_not_adopted(
    imported: tuple[RunSetup, State], tmp_path: Path
) -> None:
    setup, params = imported
    store = ParticipantStore(tmp_path / "store")
    other = {**params, "param/final_norm": params["param/final_norm"] + 1}
    root = keep_weights(tmp_path / "data", other)
    adopt_weights(setup, store, tmp_path / "data")
    assert store.get_state(setup.spec.initial_root, setup.checkpoint_layout) is None
    assert find_weights(tmp_path / "data", root, setup.checkpoint_layout) is not None
    wrong = dict(list(setup.checkpoint_layout.items())[1:])
    assert find_weights(tmp_path / "data", root, wrong) is None


def test_a_device_that_cannot_is_refused_before_training(
    imported: tuple[RunSetup, State], monkeypatch: pytest.MonkeyPatch
) -> None:
    setup, _ = imported
    setup.spec.precision.softmax_max = 4_095
    run = runs_pb2.Run(id=1, spec=setup.spec.SerializeToString(deterministic=True))
    RunSetup.create(run, setup.dataset, setup.backend)
    monkeypatch.setattr(setup.backend, "largest_exact_dot", 1 << 24)
    with pytest.raises(UnfaithfulDevice, match="the run's precision needs 133922880"):
        RunSetup.create(run, setup.dataset, setup.backend)
