"""The log of every process: one schema, for people or as JSON.

    time       UTC, with milliseconds
    level      debug, info, warning, error
    component  who says it: the module, or miner or validator
    message    what happened, the same words each time
    fields     what it happened to

As JSON `{"time", "level", "component", "message", "fields"}`, one object a line. A field whose name
says that it holds a secret is never written, and neither are passwords in URLs.
"""

from __future__ import annotations

import json
import logging
import re
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from node.settings import hide_credentials

CONSOLE, JSON = "console", "json"
HIDDEN = "***"
_SECRET = re.compile(r"secret|mnemonic|passphrase|password|private|seed|salt|preimage", re.I)


def hide_secrets(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return fields without what must not be written."""
    found: dict[str, Any] = {}
    for name, value in fields.items():
        if _SECRET.search(name):
            found[name] = HIDDEN
        elif isinstance(value, str):
            found[name] = hide_credentials(value)
        else:
            found[name] = value
    return found


def format_line(
    log_format: str,
    level: str,
    component: str,
    message: str,
    fields: Mapping[str, Any],
    created_s: float,
) -> str:
    """Format one line.

    Args:
        created_s: Unix time.
    """
    time = datetime.fromtimestamp(created_s, UTC).isoformat(timespec="milliseconds")
    time = time.replace("+00:00", "Z")
    shown = hide_secrets(fields)
    if log_format == JSON:
        line = {"time": time, "level": level, "component": component, "message": message}
        return json.dumps({**line, "fields": shown}, default=str, ensure_ascii=True)
    words = " ".join(f"{name}={_quote(value)}" for name, value in shown.items())
    return f"{time} {level:<7} {component} {message} {words}".rstrip()


def _quote(value: Any) -> str:
    text = str(value)
    return json.dumps(text) if not text or re.search(r"[\s\"=]", text) else text


class LineFormatter(logging.Formatter):
    """Formats records of the standard library; `extra={"fields": {...}}` holds the fields."""

    def __init__(self, log_format: str, component: str) -> None:
        super().__init__()
        self._log_format = log_format
        self._component = component

    def format(self, record: logging.LogRecord) -> str:
        """Format a record; a trace follows on lines of its own, or as the field `trace`."""
        fields = dict(getattr(record, "fields", {}))
        trace = self.formatException(record.exc_info) if record.exc_info else ""
        if trace and self._log_format == JSON:
            fields["trace"] = trace
        line = format_line(
            self._log_format,
            record.levelname.lower(),
            self._component if record.name == "root" else record.name,
            hide_credentials(record.getMessage()),
            fields,
            record.created,
        )
        return f"{line}\n{trace}" if trace and self._log_format != JSON else line


def set_up_logs(log_format: str, level: str, component: str) -> None:
    """Send the log of this process to stderr."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(LineFormatter(log_format, component))
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    if level == "info":
        logging.getLogger("uvicorn").setLevel(logging.WARNING)  # its own start and stop
