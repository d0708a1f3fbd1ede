"""Shared by every test: one copy of the `cosmos.*` and `tendermint.*` types on the path.

Triton's interpreter is switched on before anything imports triton: the kernels of `exact/cuda` are
compared with the definition on the CPU.
"""

import os

os.environ.setdefault("TRITON_INTERPRET", "1")

import proto  # noqa: F401
