"""Choose the instruction-set path: the first of this processor that gives the known answers."""

import functools
import os
from dataclasses import dataclass

from exact.errors import UnfaithfulDevice
from exact.native import selftest
from exact.native.build import ensure_built
from exact.native.library import Library, load_library

PATH_VARIABLE = "DESCENT_EXACT_PATH"
CHOSEN = "chosen"
NOT_THERE = "not on this processor"
NOT_TRIED = "slower than the one chosen"
NOT_WANTED = f"{PATH_VARIABLE} names another"


@dataclass(frozen=True)
class Choice:
    """A path that serves.

    Attributes:
        library: what it is in.
        path_name: its name.
        reasons: every path -> "chosen", or why not.
    """

    library: Library
    path_name: str
    reasons: dict[str, str]


def choose_path(wanted: str | None = None) -> Choice:
    """Choose once a process.

    Args:
        wanted: only this path; $DESCENT_EXACT_PATH, or the fastest, when not given.

    Raises:
        UnfaithfulDevice: no path serves; the message says why for each.
    """
    return _choose(wanted or os.environ.get(PATH_VARIABLE) or None)


@functools.cache
def _choose(wanted: str | None) -> Choice:
    library = load_library(ensure_built())
    if wanted is not None and wanted not in library.path_names:
        names = ", ".join(library.path_names)
        raise UnfaithfulDevice(f"no native path {wanted!r}; there are {names}")
    reasons: dict[str, str] = {}
    chosen = ""
    for name in library.path_names:
        if wanted not in (None, name):
            reasons[name] = NOT_WANTED
        elif chosen:
            reasons[name] = NOT_TRIED if library.has_path(name) else NOT_THERE
        else:
            reasons[name] = check_path(library, name)
            chosen = name if reasons[name] == CHOSEN else ""
    if not chosen:
        lines = [f"{name}: {reason}" for name, reason in reasons.items()]
        raise UnfaithfulDevice("no native path serves: " + "; ".join(lines))
    return Choice(library, chosen, reasons)


def check_path(library: Library, name: str) -> str:
    """Return "chosen" for a path that this processor has and that gives the known answers.

    Otherwise the reason to refuse it.
    """
    if not library.has_path(name):
        return NOT_THERE
    wrong = selftest.find_wrong_answers(library, name)
    return f"self-test failed: {', '.join(wrong)}" if wrong else CHOSEN
