"""Without a faithful library torch computes, and says why; asked for by name, nothing else does."""

import logging

import pytest

from exact import probe
from exact.backends import load_backend
from exact.errors import UnfaithfulDevice
from exact.native import build, paths, selftest


@pytest.fixture(autouse=True)
def _choose_again() -> None:
    paths._choose.cache_clear()


def fail_to_build(*_: object) -> None:
    raise build.BuildFailed("cc failed with code 1:\nout of luck")


def test_native_is_the_default() -> None:
    backend = probe.load_faithful_backend()
    assert backend.name == "native"
    assert backend.description.startswith("native ")
    assert load_backend("auto").name == "native"


def test_torch_without_a_compiler(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(paths, "ensure_built", fail_to_build)
    with caplog.at_level(logging.WARNING):
        assert probe.load_faithful_backend().name == "torch"
        assert load_backend("auto").name == "torch"
    assert "torch computes the same bits, slowly: cc failed with code 1" in caplog.text
    assert "out of luck" in caplog.text
    with pytest.raises(UnfaithfulDevice, match="out of luck"):
        load_backend("native")


def test_torch_when_every_path_is_wrong(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(selftest.KNOWN_ANSWERS, "attention", "wrong")
    with caplog.at_level(logging.WARNING):
        assert probe.load_faithful_backend().name == "torch"
    assert "self-test failed: attention" in caplog.text


def test_torch_when_the_golden_trace_differs(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    original = probe.ensure_faithful

    def refuse_native(backend: object) -> bytes:
        if getattr(backend, "name", "") == "native":
            raise UnfaithfulDevice("step 3 differs")
        return original(backend)  # type: ignore[arg-type]

    monkeypatch.setattr(probe, "ensure_faithful", refuse_native)
    with caplog.at_level(logging.WARNING):
        assert probe.load_faithful_backend().name == "torch"
    assert "step 3 differs" in caplog.text
    with pytest.raises(UnfaithfulDevice, match="step 3 differs"):
        probe.load_faithful_backend("native")


def test_a_gpu_is_not_for_the_library() -> None:
    with pytest.raises(UnfaithfulDevice, match="the native backend is for cpu"):
        load_backend("native", "cuda")
