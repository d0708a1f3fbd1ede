"""One node with its doors for all tests of this folder."""

from collections.abc import Iterator

import pytest

from tests.support.devnet_node import DevnetNode


@pytest.fixture(scope="session")
def devnet_node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DevnetNode]:
    node = DevnetNode(tmp_path_factory.mktemp("devnet") / "home")
    try:
        node.start()
        yield node
    finally:
        node.stop()
