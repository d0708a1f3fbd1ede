"""Length of files and functions; no file named `utils.py` (STYLE.md 6)."""

import ast
from pathlib import Path

import pytest

from tests.lints.tree import PACKAGES, list_python, parse, read

MAX_FILE_LINES = 600
MAX_FUNCTION_LINES = 60
VAGUE_NAMES = {"utils.py", "util.py", "helpers_misc.py", "misc.py", "common.py"}
# file -> why it is longer: a pallet reads top to bottom in one file
LONG_FILES: dict[str, str] = {
    "node/pallets/rounds/pallet.py": "six storages, five calls, hooks and queries of one pallet",
    "node/pallets/runs/pallet.py": "six calls, their steps and the capabilities others take",
    "node/pallets/weights/pallet.py": "judgement, epoch, payment and vesting of one pallet",
}
LONG_FILE_LINES = 750
# function -> why it is longer
LONG_FUNCTIONS: dict[str, str] = {
    **dict.fromkeys(
        (
            "exact/cuda/product.py:_product_kernel",
            "exact/cuda/attention_kernels.py:forward_kernel",
            "exact/cuda/attention_kernels.py:queries_kernel",
            "exact/cuda/attention_kernels.py:keys_kernel",
        ),
        "one kernel, a third of it its parameters",
    ),
    "chain_client/core.py:broadcast": "one loop over the answers a node may give",
    "node/pallets/runs/spec.py:ensure_consistent": "one `ensure` a rule between fields",
}


def check_file(path: Path, text: str) -> list[str]:
    """List a file that is too long or vaguely named."""
    limit = LONG_FILE_LINES if str(path) in LONG_FILES else MAX_FILE_LINES
    count = len(text.splitlines())
    problems = [f"{path}: {count} lines, the limit is {limit}"] if count > limit else []
    if path.name in VAGUE_NAMES:
        problems.append(f"{path}: the name does not say what it holds")
    return problems


def check_functions(path: Path, tree: ast.Module) -> list[str]:
    """List functions that are too long, decorators and docstring included."""
    problems = []
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            count = (node.end_lineno or node.lineno) - node.lineno + 1
            if count > MAX_FUNCTION_LINES and f"{path}:{node.name}" not in LONG_FUNCTIONS:
                problems.append(f"{path}:{node.lineno}: {node.name} has {count} lines")
    return problems


def test_sizes():
    problems = []
    for path in list_python():
        problems += check_file(path, read(path))
        if path.parts[0] in PACKAGES:
            problems += check_functions(path, parse(path))
    assert not problems, "\n".join(problems)


def test_planted_long_file():
    assert check_file(Path("miner/x.py"), "x = 1\n" * 601)
    assert check_file(Path("node/pallets/runs/pallet.py"), "x = 1\n" * 751)


@pytest.mark.parametrize("name", sorted(VAGUE_NAMES))
def test_planted_vague_name(name):
    assert check_file(Path("miner") / name, "")


def test_planted_long_function():
    assert check_functions(Path("miner/x.py"), ast.parse("def f():\n" + "    g()\n" * 60))
