"""Settings of miners and validators, as typed and as written in their files."""

import io
import json
from pathlib import Path
from typing import Any

import pytest

from cli.context import make_context
from cli.main import run
from cli.output import UsageFailed
from cli.participant import resolve_settings
from cli.participant_settings import MINER, VALIDATOR, list_flags
from miner.participant import get_endpoint


def resolve(home: Path, *, options: dict[str, Any] | None = None, **flags: Any) -> Any:
    context = make_context({"home": home, "output": "json", **(options or {})})
    values = {item.name.replace(".", "_"): None for item in list_flags(MINER)}
    return resolve_settings(context, MINER, None, values | flags)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("DESCENT_NODE", "DESCENT_MINER_RUN", "DESCENT_LOG_LEVEL"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def test_precedence(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (home / "miner.toml").write_text(
        'run = 1\nkey = "a"\nnode = "n:1"\nbackend = "numpy"\n[log]\nformat = "json"\n'
    )
    monkeypatch.setenv("DESCENT_MINER_BACKEND", "torch")
    found = resolve(home, run=7)
    assert (found["run"], found["key"], found["backend"]) == (7, "a", "torch")
    assert (found["node"], found["log.format"], found["device"]) == ("n:1", "json", "cpu")
    typed = resolve(home, options={"node": "other:2"})
    assert (typed["node"], typed.get_origin("node")) == ("other:2", "flag")


def test_validators_have_variables_of_their_own() -> None:
    names = {item.name: item.get_variable() for item in list_flags(VALIDATOR)}
    assert names["run"] == "DESCENT_VALIDATOR_RUN"
    assert names["log.level"] == "DESCENT_LOG_LEVEL"


def test_invalid_without_a_run(home: Path) -> None:
    with pytest.raises(UsageFailed) as caught:
        resolve(home, key="a")
    assert "run is not chosen" in caught.value.message
    assert "--run, DESCENT_MINER_RUN, or a line in" in caught.value.hint


def test_invalid_key_of_the_file(home: Path) -> None:
    (home / "miner.toml").write_text("devise = 1\n")
    with pytest.raises(UsageFailed, match="did you mean device"):
        resolve(home, run=1, key="a")


@pytest.mark.parametrize("program", [MINER, VALIDATOR])
def test_invalid_command_lines(
    home: Path, program: str, capsys: pytest.CaptureFixture[str]
) -> None:
    command = [program, "run", "--run", "1", "--key", "a", "--home", str(home)]
    assert run([*command, "--device", "abacus"]) == 2
    assert "device is 'abacus'" in capsys.readouterr().err
    assert run([*command, "--backend", "numpi"]) == 2
    capsys.readouterr()


@pytest.mark.parametrize(
    ("advertise", "listen", "expected"),
    [
        ("", "127.0.0.1:9301", "127.0.0.1:9301"),
        ("miner-0", "0.0.0.0:9301", "miner-0:9301"),
        ("a.b:80", "0.0.0.0:9301", "a.b:80"),
        ("[::1]", "[::]:9301", "[::1]:9301"),
        ("[::1]:80", "[::]:9301", "[::1]:80"),
    ],
)
def test_endpoint(advertise: str, listen: str, expected: str) -> None:
    assert get_endpoint(advertise, listen) == expected


def test_log_lines(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import logging

    import structlog

    from cli.participant import _set_up_logs
    from miner.metrics import EVENTS

    root, stream = logging.getLogger(), io.StringIO()
    before = (root.handlers[:], root.level)
    monkeypatch.setattr("sys.stderr", stream)
    try:
        (home / "miner.toml").write_text('[log]\nformat = "json"\n')
        _set_up_logs(MINER, resolve(home, run=1, key="a"))
        structlog.get_logger().info("committed", round=3, salt="abc")
        structlog.get_logger().debug("not_shown")
    finally:
        structlog.reset_defaults()
        root.handlers[:] = before[0]
        root.setLevel(before[1])
    (line,) = [json.loads(text) for text in stream.getvalue().splitlines()]
    assert line.pop("time")
    assert line == {
        "level": "info",
        "component": "miner",
        "message": "committed",
        "fields": {"round": 3, "salt": "***"},
    }
    assert EVENTS.labels("committed", "info")._value.get() == 1
