"""Which path serves: known answers, the override, refusals, and torch when none is left."""

import pytest

from exact.errors import UnfaithfulDevice
from exact.native import paths, selftest
from tests.exact.native.conftest import LIBRARY, PATHS


@pytest.fixture(autouse=True)
def _choose_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(paths.PATH_VARIABLE, raising=False)
    paths._choose.cache_clear()


def test_fastest_serves() -> None:
    choice = paths.choose_path()
    assert choice.path_name == PATHS[0]
    assert choice.reasons[PATHS[0]] == paths.CHOSEN
    assert list(choice.reasons) == LIBRARY.path_names
    for name, reason in choice.reasons.items():
        assert (reason == paths.NOT_THERE) == (name not in PATHS)


@pytest.mark.parametrize("name", PATHS)
def test_override(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(paths.PATH_VARIABLE, name)
    assert paths.choose_path().path_name == name


def test_invalid_override(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(paths.PATH_VARIABLE, "abacus")
    with pytest.raises(UnfaithfulDevice, match=r"no native path 'abacus'; there are .*portable"):
        paths.choose_path()


def test_known_answers_are_the_definition() -> None:
    assert selftest.compute_answers() == selftest.KNOWN_ANSWERS


@pytest.mark.parametrize("name", ["matmul signs KM NK", "attention", "block", "optimiser"])
def test_corrupted_path_is_refused(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A path that computes anything else than the known answer is passed over, with a reason."""
    original = selftest.find_wrong_answers

    def find(library: object, path_name: str) -> list[str]:
        if path_name == PATHS[0]:
            with monkeypatch.context() as patch:
                patch.setitem(selftest.KNOWN_ANSWERS, name, "0" * 16)
                return original(library, path_name)
        return original(library, path_name)

    monkeypatch.setattr(selftest, "find_wrong_answers", find)
    choice = paths.choose_path()
    assert choice.path_name == PATHS[1]
    assert choice.reasons[PATHS[0]] == f"self-test failed: {name}"


def test_invalid_all_paths(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(selftest.KNOWN_ANSWERS, "block", "wrong")
    with pytest.raises(UnfaithfulDevice, match=r"no native path serves: .*portable: self-test"):
        paths.choose_path()
