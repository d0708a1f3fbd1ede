"""Where the ziglang wheel is, if it is anywhere."""

import importlib.util
import sys

import pytest

from tests.exact.traces import ROOT


def find_zig() -> str:
    """Return a Python that has ziglang: this one or that of `make wheels`; or skip the test."""
    if importlib.util.find_spec("ziglang"):
        return sys.executable
    python = ROOT / ".wheels/bin/python"
    if python.exists():
        return str(python)
    pytest.skip("no ziglang: `make wheels` installs it in .wheels, `pip install ziglang` here")
