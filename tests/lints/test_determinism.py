"""Nothing in consensus code that differs between two machines (STYLE.md 37).

`node/runtime` and `node/pallets`: no float, clock, randomness, environment, file, network, thread,
`hash()` or order of a set.
"""

import ast
from pathlib import Path

import pytest

from tests.lints.test_imports import list_imports
from tests.lints.tree import list_python, parse

FOLDERS = ("node/runtime/", "node/pallets/")
FORBIDDEN_MODULES = {
    *("time", "datetime", "random", "secrets", "uuid", "os", "pathlib", "tempfile", "shutil"),
    *("socket", "ssl", "http", "urllib", "requests", "grpc", "asyncio", "threading", "signal"),
    *("multiprocessing", "concurrent", "subprocess", "platform", "locale", "numpy", "torch"),
    *("decimal", "fractions", "statistics", "glob", "io"),
}
FORBIDDEN_CALLS = {"float", "hash", "id", "open", "input", "globals", "vars", "set.pop"}
# (file, module) -> why it may
ALLOWED: dict[tuple[str, str], str] = {}


def is_set(node: ast.expr) -> bool:
    """Whether an expression is plainly a set."""
    is_call = isinstance(node, ast.Call) and ast.unparse(node.func) in ("set", "frozenset")
    return is_call or isinstance(node, ast.Set | ast.SetComp)


def is_list_of_set(node: ast.AST) -> bool:
    """Whether a node is `list(set(...))` or `tuple(set(...))`."""
    is_list = isinstance(node, ast.Call) and ast.unparse(node.func) in ("list", "tuple")
    return is_list and bool(node.args) and is_set(node.args[0])


def check_determinism(path: Path, tree: ast.Module) -> list[str]:
    """List what may differ between machines: floats, forbidden modules and calls, set order."""
    problems = [
        f"{path}:{line}: imports {name}"
        for line, name in list_imports(tree)
        if name.split(".")[0] in FORBIDDEN_MODULES
        and (str(path), name.split(".")[0]) not in ALLOWED
    ]
    for node in ast.walk(tree):
        where = f"{path}:{getattr(node, 'lineno', 0)}"
        if isinstance(node, ast.Constant) and isinstance(node.value, float | complex):
            problems.append(f"{where}: float {node.value}")
        elif isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div):
            problems.append(f"{where}: / gives a float, use //")
        elif isinstance(node, ast.Call) and ast.unparse(node.func) in FORBIDDEN_CALLS:
            problems.append(f"{where}: {ast.unparse(node.func)}()")
        elif isinstance(node, ast.For | ast.comprehension) and is_set(node.iter):
            problems.append(f"{path}:{node.iter.lineno}: iterates over a set")
        elif is_list_of_set(node):
            problems.append(f"{where}: order of a set")
    return problems


def test_consensus_code_is_deterministic():
    paths = [path for path in list_python() if str(path).startswith(FOLDERS)]
    problems = [problem for path in paths for problem in check_determinism(path, parse(path))]
    assert not problems, "\n".join(problems)


@pytest.mark.parametrize(
    "source",
    [
        "import time",
        "from os import environ",
        "def f():\n    import random",
        "x = 0.5",
        "x = a / b",
        "x = hash(a)",
        "x = open('f')",
        "for x in {1, 2}:\n    f(x)",
        "[x for x in set(a)]",
        "list(set(a))",
        "import threading",
    ],
)
def test_planted(source):
    assert check_determinism(Path("node/pallets/x/pallet.py"), ast.parse(source))


def test_sorted_set_is_allowed():
    source = "for x in sorted(set(a)):\n    f(x // 2)"
    assert not check_determinism(Path("node/pallets/x/pallet.py"), ast.parse(source))
