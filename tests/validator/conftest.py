"""One tiny run for the tests of this folder."""

import pytest

from miner.setup import RunSetup
from tests.support.tiny_run import make_setup


@pytest.fixture(scope="package")
def setup(tmp_path_factory: pytest.TempPathFactory) -> RunSetup:
    return make_setup(tmp_path_factory.mktemp("run"))
