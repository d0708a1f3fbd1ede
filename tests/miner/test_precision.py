"""A run whose products this device cannot do exactly is refused before anything is trained."""

from pathlib import Path

import pytest

from exact.backends import load_backend
from exact.errors import UnfaithfulDevice
from miner.setup import RunSetup
from proto.descent.runs.v1 import runs_pb2
from tests.support.tiny_run import make_setup


def test_a_precision_beyond_the_device(tmp_path: Path) -> None:
    setup = make_setup(tmp_path)
    run = runs_pb2.Run(id=1, spec=setup.spec.SerializeToString(deterministic=True))
    backend = load_backend("numpy")
    assert RunSetup.create(run, setup.dataset, backend).model == setup.model
    backend.largest_exact_dot = setup.model.largest_dot - 1
    with pytest.raises(UnfaithfulDevice, match="the run's precision needs"):
        RunSetup.create(run, setup.dataset, backend)
