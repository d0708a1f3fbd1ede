"""One devnet for all tests of this folder; they run in the order of their file names.

The last file stops it. Each file also runs alone.
"""

from collections.abc import Iterator

import pytest

from tests.support.devnet import Devnet


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep the tests of this folder in one xdist worker: two devnets at once are too many."""
    for item in items:
        if item.path.parent.name == "devnet":
            item.add_marker(pytest.mark.xdist_group("devnet"))


@pytest.fixture(scope="session")
def devnet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Devnet]:
    found = Devnet(tmp_path_factory.mktemp("devnet"))
    try:
        found.first_report = found.up("--until", "reward")
        yield found
    finally:
        found.close()
