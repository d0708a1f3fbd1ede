"""The definition, and a native backend for every path this processor has."""

from collections.abc import Callable

import pytest

from exact.backends import load_backend
from exact.backends.base import Backend
from exact.backends.native_backend import NativeBackend
from exact.native.build import ensure_built
from exact.native.library import load_library

LIBRARY = load_library(ensure_built())
PATHS = [name for name in LIBRARY.path_names if LIBRARY.has_path(name)]
Open = Callable[[str, int], NativeBackend]


@pytest.fixture(scope="session")
def definition() -> Backend:
    return load_backend("numpy")


@pytest.fixture(scope="session")
def open_path() -> Open:
    opened: dict[tuple[str, int], NativeBackend] = {}

    def open_path(name: str, num_threads: int = 1) -> NativeBackend:
        key = (name, num_threads)
        if key not in opened:
            opened[key] = NativeBackend(name, num_threads)
        return opened[key]

    return open_path
