"""Who may import whom (DESIGN.md section 2), as data.

Two additions to the table there: `validator` imports `miner`, because it executes the same work,
and `cli` imports `node` and `genesis`, because it starts them.
"""

import ast
from collections.abc import Iterable
from pathlib import Path

import pytest

from tests.lints.tree import PACKAGES, list_python, parse

# package -> packages of this repository it may import, besides itself
ALLOWED: dict[str, set[str]] = {
    "proto": set(),
    "scoring": set(),
    "exact": {"proto", "scoring"},
    "chain_client": {"proto"},
    "node": {"proto", "scoring", "exact.referee", "exact.merkle"},
    "genesis": {"proto", "node", "chain_client", "scoring"},
    "miner": {"proto", "chain_client", "exact", "scoring"},
    "validator": {"proto", "chain_client", "exact", "scoring", "miner"},
    "explorer": {"proto", "chain_client", "exact", "scoring"},
    "cli": set(PACKAGES) - {"cli"},
}
# (path prefix, what it must not import)
FORBIDDEN: tuple[tuple[str, str], ...] = (
    ("node/", "torch"),
    ("node/", "cosmpy.aerial"),
    ("genesis/", "torch"),
    ("chain_client/", "torch"),
    ("cli/", "torch"),
    ("miner/", "torch"),
    ("validator/", "torch"),
)
# the only files that may import torch, each imported where it is asked for
TORCH_FILE = "exact/backends/torch_backend.py"
TORCH_FILES = (TORCH_FILE, "exact/backends/triton_backend.py", "exact/cuda/")
LAZY = ("backends.torch_backend", "backends.triton_backend", "cuda")
SCORING_MODULES = {"numpy"}


def list_imports(tree: ast.Module) -> list[tuple[int, str]]:
    """List (line, dotted name) of every import, wherever it stands."""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [(node.lineno, alias.name) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = "." * node.level + (node.module or "")
            found += [(node.lineno, f"{base}.{alias.name}") for alias in node.names]
    return found


def is_within(name: str, module: str) -> bool:
    """Whether a dotted name is a module or something in it."""
    return name == module or name.startswith(module + ".")


def is_standard(name: str) -> bool:
    """Whether a module is in the standard library."""
    import sys

    return name.split(".")[0] in sys.stdlib_module_names


def check_imports(path: Path, tree: ast.Module) -> list[str]:
    """List what a file imports and must not."""
    package = path.parts[0]
    allowed = ALLOWED.get(package)
    if allowed is None:
        return []
    problems = []
    for line, name in list_imports(tree):
        where = f"{path}:{line}: imports {name}"
        top = name.split(".")[0]
        is_ours = top in PACKAGES and top != package
        if name.startswith("."):
            problems.append(f"{where}: imports are absolute")
        elif is_ours and not any(is_within(name, module) for module in allowed):
            problems.append(f"{where}: {package} may import {sorted(allowed)}")
        elif package == "scoring" and not (is_standard(name) or top in SCORING_MODULES | {package}):
            problems.append(f"{where}: scoring is numpy only")
        elif top == "torch" and package == "exact" and not str(path).startswith(TORCH_FILES):
            problems.append(f"{where}: only {TORCH_FILES} may")
        elif any(str(path).startswith(p) and is_within(name, m) for p, m in FORBIDDEN):
            problems.append(f"{where}: forbidden here")
        elif top == "tests":
            problems.append(f"{where}: tests are never shipped")
    return problems


def check_lazy_torch(path: Path, tree: ast.Module) -> list[str]:
    """List imports of the backends with torch that are not inside a function."""
    if str(path).startswith(TORCH_FILES):
        return []
    found: Iterable[ast.stmt] = tree.body
    return [
        f"{path}:{line}: import the torch backend inside a function"
        for line, name in list_imports(ast.Module(body=list(found), type_ignores=[]))
        if any(is_within(name, f"exact.{lazy}") for lazy in LAZY)
        and not any(
            isinstance(node, ast.FunctionDef) and node.lineno <= line <= (node.end_lineno or 0)
            for node in ast.walk(tree)
        )
    ]


def test_imports_point_one_way():
    problems = [
        problem
        for path in list_python()
        for problem in check_imports(path, parse(path)) + _check_backend(path)
    ]
    assert not problems, "\n".join(problems)


def _check_backend(path: Path) -> list[str]:
    return check_lazy_torch(path, parse(path)) if path.parts[0] in PACKAGES else []


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("node/x.py", "import torch"),
        ("node/x.py", "def f():\n    import torch.nn"),
        ("node/x.py", "from miner import work"),
        ("node/x.py", "from validator.audit import f"),
        ("node/x.py", "from chain_client.keys import Key"),
        ("node/x.py", "import cosmpy.aerial.client"),
        ("node/x.py", "from cosmpy import aerial"),
        ("node/x.py", "from exact.program import Program"),
        ("scoring/x.py", "import torch"),
        ("scoring/x.py", "import lmdb"),
        ("scoring/x.py", "from node.chain import f"),
        ("exact/x.py", "import torch"),
        ("exact/x.py", "from miner.work import f"),
        ("chain_client/x.py", "from exact import state"),
        ("miner/x.py", "from validator import judge"),
        ("miner/x.py", "from . import work"),
        ("cli/x.py", "from tests import helper"),
    ],
)
def test_planted_import(path, source):
    assert check_imports(Path(path), ast.parse(source))


def test_planted_eager_torch_backend():
    source = "from exact.backends.torch_backend import TorchBackend"
    assert check_lazy_torch(Path("miner/x.py"), ast.parse(source))
    lazy = "def f():\n    from exact.backends.torch_backend import TorchBackend"
    assert not check_lazy_torch(Path("miner/x.py"), ast.parse(lazy))


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("node/x.py", "from exact.referee import check"),
        ("node/x.py", "from scoring import yuma"),
        ("validator/x.py", "from miner.work import f"),
        ("cli/x.py", "from node.engine import embedded"),
        ("exact/backends/torch_backend.py", "import torch"),
    ],
)
def test_allowed_import(path, source):
    assert not check_imports(Path(path), ast.parse(source))
