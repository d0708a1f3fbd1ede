"""The docstring of a package is a map: it names every module and package in it (STYLE.md 3)."""

import ast
import re
from pathlib import Path

from tests.lints.tree import PACKAGES, list_python, parse


def check_map(package: Path, docstring: str, names: list[str]) -> list[str]:
    """List names of a package that its docstring leaves out.

    Args:
        package: folder of the package.
        docstring: of its `__init__.py`.
        names: stems of its files, and names of its sub-packages.
    """
    words = set(re.findall(r"[A-Za-z0-9_]+", docstring))
    return [
        f"{package}/__init__.py: {name} is not on the map" for name in names if name not in words
    ]


def check_mapped(package: Path, docstring: str, names: list[str]) -> list[str]:
    """List files on the map of a package that do not exist."""
    named = re.findall(r"(?<![\w/.<>])([a-z0-9_]+)\.py\b", docstring)
    return [
        f"{package}/__init__.py: {name}.py does not exist"
        for name in named
        if name not in names and name != "__init__"
    ]


def list_packages() -> dict[Path, list[str]]:
    """List the packages with the names in them."""
    files = [path for path in list_python() if path.parts[0] in PACKAGES]
    folders = {path.parent for path in files if path.name == "__init__.py"}
    found: dict[Path, list[str]] = {folder: [] for folder in folders}
    for path in files:
        if path.name not in ("__init__.py", "__main__.py") and path.parent in found:
            found[path.parent].append(path.stem)
    for folder in folders:
        if folder.parent in found and folder.parent != Path("node/pallets"):
            found[folder.parent].append(folder.name)
    return found


def test_maps_name_what_exists():
    problems = []
    for package, names in sorted(list_packages().items()):
        docstring = ast.get_docstring(parse(package / "__init__.py")) or ""
        problems += check_map(package, docstring, names)
        if package != Path("node/pallets"):
            problems += check_mapped(package, docstring, names)
    assert not problems, "\n".join(problems)


def test_every_folder_of_code_is_a_package():
    files = [path for path in list_python() if path.parts[0] in PACKAGES]
    folders = {path.parent for path in files}
    assert {path.parent for path in files if path.name == "__init__.py"} == folders


def test_planted_missing_name():
    assert check_map(Path("miner"), "`work.py`  the work", ["work", "storage"])


def test_planted_name_of_nothing():
    assert check_mapped(Path("miner"), "`work.py` and `gone.py`", ["work"])
