"""`descent exact`: the probe's verdicts and exit codes, and the bench's document."""

import json

import pytest

from cli.main import run
from exact import probe
from exact.native import paths, selftest


@pytest.fixture(autouse=True)
def _choose_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(paths.PATH_VARIABLE, raising=False)
    paths._choose.cache_clear()


def read_json(capsys: pytest.CaptureFixture[str]) -> dict:
    return json.loads(capsys.readouterr().out)


def test_probe(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["exact", "probe", "--output", "json"]) == 0
    document = read_json(capsys)
    assert document["golden_bits"] is True
    assert document["backend"].startswith("native ")
    verdicts = {item["path"]: item["verdict"] for item in document["paths"]}
    assert list(verdicts.values()).count("chosen") == 1
    assert set(verdicts.values()) <= {
        "chosen",
        paths.NOT_THERE,
        f"faithful, {paths.NOT_TRIED}",
    }


def test_probe_table(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["exact", "probe"]) == 0
    out = capsys.readouterr().out
    assert "golden bits   yes" in out
    assert "portable" in out


def test_probe_of_a_named_path(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(paths.PATH_VARIABLE, "portable")
    assert run(["exact", "probe", "--output", "json"]) == 0
    assert read_json(capsys)["backend"] == "native portable"


def test_probe_says_why_a_path_is_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(selftest.KNOWN_ANSWERS, "optimiser", "wrong")
    assert run(["exact", "probe", "--output", "json"]) == 0
    document = read_json(capsys)
    assert document["backend"] == "torch"
    assert "self-test failed: optimiser" in document["paths"][0]["verdict"]
    assert run(["exact", "probe", "--backend", "native"]) == 4


def test_invalid_device(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    roots, loss_root = probe.GOLDEN["gpt"]
    monkeypatch.setitem(probe.GOLDEN, "gpt", (("00",) * len(roots), loss_root))
    assert run(["exact", "probe", "--backend", "native"]) == 4
    assert "step 0 gives" in capsys.readouterr().err


def test_bench(capsys: pytest.CaptureFixture[str]) -> None:
    flags = ["exact", "bench", "--size", "devnet", "--rounds", "1", "--output", "json"]
    assert run(flags) == 0
    document = read_json(capsys)
    rows = {row["format"]: row for row in document["rows"]}
    assert set(rows) == {"default", "fast"}
    row = rows["default"]
    assert row["num_params"] == 114_688
    assert row["ratio"]["median"] > 0
    assert abs(row["loss"]["exact"] - row["loss"]["ordinary"]) < 0.05 * row["loss"]["ordinary"]
    assert document["memory"][0]["ratio"]["peak_mib"] > 0
    assert document["root_ms"] > 0


def test_invalid_bench_size(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["exact", "bench", "--size", "huge"]) == 1
    assert "invalid choice" in capsys.readouterr().err
