"""One schema of log lines; secrets stay out of them."""

import io
import json
import logging
import sys

import pytest

from node.logs import LineFormatter, format_line, set_up_logs


def log_line(log_format: str, **options: object) -> str:
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(LineFormatter(log_format, "node"))
    logger = logging.Logger("node.doors.supervisor")
    logger.addHandler(handler)
    logger.warning("door %s ended, see http://me:word@a", "rpc", **options)  # type: ignore[arg-type]
    return stream.getvalue()


def test_json() -> None:
    line = json.loads(log_line("json", extra={"fields": {"height": 7, "passphrase": "open"}}))
    assert line.pop("time").endswith("Z")
    assert line == {
        "level": "warning",
        "component": "node.doors.supervisor",
        "message": "door rpc ended, see http://***@a",
        "fields": {"height": 7, "passphrase": "***"},
    }


def test_console() -> None:
    line = log_line("console", extra={"fields": {"height": 7, "why": "no room"}})
    _, rest = line.split(" ", 1)
    assert rest == (
        'warning node.doors.supervisor door rpc ended, see http://***@a height=7 why="no room"\n'
    )


@pytest.mark.parametrize("log_format", ["json", "console"])
def test_trace(log_format: str) -> None:
    try:
        raise ValueError("boom")
    except ValueError:
        text = log_line(log_format, exc_info=True)
    assert "ValueError: boom" in (
        json.loads(text)["fields"]["trace"] if log_format == "json" else text
    )


@pytest.mark.parametrize("name", ["mnemonic", "private_key", "onion_seed", "salt", "Password"])
def test_secret_fields(name: str) -> None:
    line = format_line("json", "info", "miner", "said", {name: "abc"}, 0.0)
    assert json.loads(line)["fields"] == {name: "***"}
    assert json.loads(line)["time"] == "1970-01-01T00:00:00.000Z"


def test_set_up(capsys: pytest.CaptureFixture[str]) -> None:
    root = logging.getLogger()
    before = (root.handlers[:], root.level)
    try:
        set_up_logs("json", "warning", "node")
        root.handlers[0].setStream(sys.stderr)  # type: ignore[attr-defined]
        logging.getLogger().warning("one")
        logging.getLogger().info("two")
    finally:
        root.handlers[:], _ = before
        root.setLevel(before[1])
    lines = capsys.readouterr().err.splitlines()
    assert [json.loads(line)["message"] for line in lines] == ["one"]
