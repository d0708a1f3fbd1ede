"""A pallet is a folder of known files; its README has known sections (STYLE.md 4, 5)."""

import ast
import re
from pathlib import Path

from tests.lints.tree import ROOT, list_files, list_python, parse, read

PALLETS = Path("node/pallets")
SECTIONS = [
    *("Abstract", "Concepts", "State", "Params", "Calls", "Events", "Queries", "Invariants"),
]
# pallet -> why it has no `types.py`
WITHOUT_TYPES = {
    "blocks": "no parameters, events or capabilities of its own",
    "consensus": "no parameters, events or capabilities of its own",
}


def check_readme(path: Path, text: str, calls: list[str]) -> list[str]:
    """List sections missing or out of order, and calls that are not described."""
    found = re.findall(r"^## (\w+)", text, re.M)
    problems = [] if found == SECTIONS else [f"{path}: sections are {found}, not {SECTIONS}"]
    words = re.findall(r"\w+", text)
    return problems + [f"{path}: call {name} is missing" for name in calls if name not in words]


def check_files(pallet: str, names: set[str], uses_errors: bool) -> list[str]:
    """List files a pallet's folder lacks."""
    needed = {"README.md", "__init__.py", "pallet.py"}
    needed |= set() if pallet in WITHOUT_TYPES else {"types.py"}
    needed |= {"errors.py"} if uses_errors else set()
    return [f"{PALLETS / pallet}: {name} is missing" for name in sorted(needed - names)]


def list_calls(tree: ast.Module) -> list[str]:
    """List the message names of a pallet's calls without `Msg`."""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            for mark in node.decorator_list:
                if isinstance(mark, ast.Call) and ast.unparse(mark.func) == "call":
                    found.append(ast.unparse(mark.args[1]).split(".")[-1])
    return found


def declares_errors(tree: ast.Module) -> bool:
    """Whether a pallet's class has an `errors = (...)` with something in it."""
    return any(
        isinstance(node, ast.Assign)
        and ast.unparse(node.targets[0]) == "errors"
        and ast.unparse(node.value) != "()"
        for node in ast.walk(tree)
    )


def test_every_pallet_folder():
    problems = []
    pallets = sorted({p.parts[2] for p in list_python() if p.parent.parent == PALLETS})
    assert pallets
    for pallet in pallets:
        folder = PALLETS / pallet
        tree = parse(folder / "pallet.py")
        names = {path.name for path in list_files() if path.parent == folder}
        problems += check_files(pallet, names, declares_errors(tree))
        if (ROOT / folder / "README.md").exists():
            readme = folder / "README.md"
            problems += check_readme(readme, read(readme), list_calls(tree))
    assert not problems, "\n".join(problems)


GOOD = "".join(f"## {name}\n" for name in SECTIONS)


def test_planted_readme():
    assert not check_readme(Path("README.md"), GOOD + "MsgSend", ["MsgSend"])
    assert check_readme(Path("README.md"), GOOD, ["MsgSend"])
    assert check_readme(Path("README.md"), GOOD.replace("## Calls\n", ""), [])
    assert check_readme(Path("README.md"), "## Params\n" + GOOD, [])


def test_planted_files():
    full = {"README.md", "__init__.py", "pallet.py", "types.py"}
    assert not check_files("bank", full, uses_errors=False)
    assert check_files("bank", full, uses_errors=True)
    assert check_files("bank", full - {"README.md"}, uses_errors=False)
