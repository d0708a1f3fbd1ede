"""Backends execute programs; all give the same bits.

base.py            executor, what callers use
numpy_backend.py   the definition: plain and slow, needs no torch
torch_backend.py   fast twin on CPU and CUDA
native_backend.py  fastest on a CPU, by the C library of exact/native; needs no torch
triton_backend.py  fastest on CUDA, by the kernels of exact/cuda
"""

import logging

from exact.backends.base import Backend
from exact.errors import UnfaithfulDevice

__all__ = ["AUTO", "Backend", "get_fastest", "load_backend", "tell_fallback"]

AUTO = "auto"

_log = logging.getLogger(__name__)


def load_backend(name: str, device: str = "cpu") -> Backend:
    """Load a backend; torch is imported only when asked for.

    Args:
        name: "numpy", "torch", "native" or "triton"; "auto" is native on a CPU and triton on CUDA,
            if they load, else torch.
        device: a torch device, for example "cpu" or "cuda".

    Raises:
        UnfaithfulDevice: unknown backend, no torch, no native library, or the device fails the
            exactness self-test.
    """
    if name == AUTO:
        try:
            return load_backend(get_fastest(device), device)
        except UnfaithfulDevice as error:
            tell_fallback(error)
        name = "torch"
    if name == "native":
        if device != "cpu":
            raise UnfaithfulDevice(f"the native backend is for cpu, not {device!r}")
        from exact.backends.native_backend import NativeBackend

        return NativeBackend()
    if name == "triton":
        try:
            from exact.backends.triton_backend import TritonBackend
        except ImportError as error:
            raise UnfaithfulDevice("torch or triton is not installed") from error
        return TritonBackend(device)
    if name == "numpy":
        from exact.backends.numpy_backend import NumpyBackend

        return NumpyBackend()
    if name == "torch":
        try:
            from exact.backends.torch_backend import TorchBackend
        except ImportError as error:
            raise UnfaithfulDevice("torch is not installed; install the train extra") from error
        return TorchBackend(device)
    raise UnfaithfulDevice(f"unknown backend {name!r}")


def get_fastest(device: str) -> str:
    """Name the backend that "auto" tries first on a device."""
    return "triton" if device.startswith("cuda") else "native"


def tell_fallback(error: UnfaithfulDevice) -> None:
    """Say why torch computes instead of the kernels for this device."""
    _log.warning("no fast kernels, torch computes the same bits, slowly: %s", error)
