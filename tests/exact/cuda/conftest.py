"""Backends for the kernels: on the CPU in Triton's interpreter, so that no GPU is needed."""

import pytest

from exact.backends import load_backend
from exact.backends.base import Backend


@pytest.fixture(scope="session")
def definition() -> Backend:
    return load_backend("numpy")


@pytest.fixture(scope="session")
def kernels() -> Backend:
    """The Triton backend, after its known answers."""
    pytest.importorskip("triton")
    return load_backend("triton", "cpu")
