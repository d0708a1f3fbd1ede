"""A path is used only if it gives the known answers; the backend is chosen by the device."""

import logging

import pytest

pytest.importorskip("triton")

from exact.backends import AUTO, load_backend, triton_backend
from exact.backends.triton_backend import TritonBackend
from exact.cuda import launch, selftest
from exact.errors import UnfaithfulDevice
from exact.native.selftest import get_cases


def test_the_default_path(kernels: TritonBackend) -> None:
    assert kernels.description == "triton int8 on interpreted"
    assert kernels.reasons == {"int8": "chosen", "fp16": "slower than the one chosen"}
    assert kernels.largest_exact_dot == 2**31 - 1


def test_the_other_path(kernels: TritonBackend, monkeypatch: pytest.MonkeyPatch) -> None:
    cases = {name: case for name, case in get_cases().items() if name.endswith("MK KN")}
    monkeypatch.setattr(selftest, "get_cases", lambda: cases)
    assert selftest.choose_path(kernels, "fp16")[0] == "fp16"
    dtypes = []
    record = lambda kernel, args, *_: dtypes.append(args[0].dtype)  # noqa: E731
    with launch.recording(record):
        assert selftest.check_path(kernels, "fp16") == "chosen"
        assert selftest.check_path(kernels, "int8") == "chosen"
    assert len(cases) == 5
    assert dtypes


def test_a_wrong_path_is_not_used(kernels: TritonBackend, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        selftest, "find_wrong_answers", lambda b: ["attention"] if b.path == "int8" else []
    )
    backend = TritonBackend("cpu")
    assert backend.path == "fp16"
    assert backend.reasons["int8"] == "self-test failed: attention"
    with pytest.raises(UnfaithfulDevice, match="int8: self-test failed: attention"):
        TritonBackend("cpu", "int8")
    with pytest.raises(UnfaithfulDevice, match="no triton path 'tf32'"):
        TritonBackend("cpu", "tf32")


def test_known_answers_are_compared(
    kernels: TritonBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = {"optimiser": get_cases()["optimiser"]}
    monkeypatch.setattr(selftest, "get_cases", lambda: case)
    assert selftest.find_wrong_answers(kernels) == []
    monkeypatch.setitem(selftest.KNOWN_ANSWERS, "optimiser", "another")
    assert selftest.find_wrong_answers(kernels) == ["optimiser"]


def test_a_kernel_that_does_not_start_is_a_reason(
    kernels: TritonBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: object) -> list[str]:
        raise RuntimeError("out of resource: shared memory")

    monkeypatch.setattr(selftest, "find_wrong_answers", fail)
    with pytest.raises(UnfaithfulDevice, match="fp16: self-test did not run: out of resource"):
        TritonBackend("cpu")


def test_cuda_takes_triton_and_falls_back(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    opened = []

    class Torch:
        name = "torch"

        def __init__(self, device: str):
            opened.append(device)

    def refuse(device: str) -> None:
        raise UnfaithfulDevice("no triton path serves: int8: self-test failed: block")

    monkeypatch.setattr("exact.backends.torch_backend.TorchBackend", Torch)
    monkeypatch.setattr(triton_backend, "TritonBackend", refuse)
    with caplog.at_level(logging.WARNING):
        assert load_backend(AUTO, "cuda:1").name == "torch"
    assert opened == ["cuda:1"]
    assert "self-test failed: block" in caplog.text


def test_without_the_interpreter_a_cpu_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(triton_backend, "is_interpreted", lambda: False)
    with pytest.raises(UnfaithfulDevice, match="for cuda, not 'cpu'"):
        load_backend("triton", "cpu")
