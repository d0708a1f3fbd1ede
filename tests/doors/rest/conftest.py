"""A client of the REST door of the session's node."""

from collections.abc import Iterator

import pytest

from tests.support.devnet_node import DevnetNode
from tests.support.rest_client import Rest


@pytest.fixture
def rest(devnet_node: DevnetNode) -> Iterator[Rest]:
    built = Rest(devnet_node.rest_port)
    yield built
    built.http.close()
