"""Generated files are up to date: protobuf stubs, and the lock file against the pins."""

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.lints.tree import ROOT, list_files, read

HASHED_PIN = re.compile(r"^([A-Za-z0-9._-]+)==([^\s\\;]+)", re.M)
EXACT_PIN = re.compile(r"^([A-Za-z0-9._-]+)==([^\s;]+)$")
URL = re.compile(r"https?://|^-[-a-z]", re.M)


def normalise(name: str) -> str:
    """Normalise a distribution name (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def check_lock(pins: list[str], lock: str) -> list[str]:
    """List pins a lock file does not hold, entries without hashes, and hosts it names.

    Args:
        pins: requirements of pyproject.toml.
        lock: text of the lock file.
    """
    locked = {normalise(name): version for name, version in HASHED_PIN.findall(lock)}
    problems = [f"line with a host or an option: {m.group()}" for m in URL.finditer(lock)]
    for pin in pins:
        name = normalise(re.split(r"[<>=!~\s\[;]", pin)[0])
        exact = EXACT_PIN.match(pin)
        if name not in locked:
            problems.append(f"{pin} is not locked")
        elif exact and locked[name] != exact.group(2):
            problems.append(f"{pin} is locked at {locked[name]}")
    blocks = re.split(r"\n(?=[A-Za-z0-9])", lock.strip())
    problems += [
        f"{block.split()[0]} has no hash"
        for block in blocks
        if HASHED_PIN.match(block) and "--hash=sha256:" not in block
    ]
    return problems


def list_pins() -> list[str]:
    """List every requirement of the project, extras included."""
    project = tomllib.loads(read(Path("pyproject.toml")))["project"]
    extras = project.get("optional-dependencies", {})
    return [*project["dependencies"], *(pin for pins in extras.values() for pin in pins)]


def test_lock_covers_the_pins():
    problems = check_lock(list_pins(), read(Path("requirements.lock")))
    assert not problems, "\n".join(problems)


def test_stubs_are_up_to_date(tmp_path):
    """Generate in a copy of `proto/` and compare every stub."""
    shutil.copytree(ROOT / "proto", tmp_path / "proto")
    for stub in (tmp_path / "proto").glob("descent/**/*_pb2*.py*"):
        stub.unlink()
    subprocess.run([sys.executable, "-m", "proto.generate"], cwd=tmp_path, check=True)
    made = {
        path.relative_to(tmp_path): path.read_text()
        for path in (tmp_path / "proto").glob("descent/**/*_pb2*.py*")
        if path.suffix in (".py", ".pyi")
    }
    kept = {
        p: read(p) for p in list_files() if p.parts[:2] == ("proto", "descent") and "_pb2" in p.name
    }
    stale = sorted(str(p) for p in made.keys() | kept.keys() if made.get(p) != kept.get(p))
    assert not stale, f"run `make proto`; stale: {stale}"


GOOD_LOCK = "numpy==1.0 \\\n    --hash=sha256:aa\n"


@pytest.mark.parametrize(
    ("pins", "lock"),
    [
        (["torch==1.0"], GOOD_LOCK),
        (["numpy==2.0"], GOOD_LOCK),
        (["numpy==1.0"], "numpy==1.0\n"),
        (["numpy==1.0"], "--index" + "-url x\n" + GOOD_LOCK),
        (["numpy==1.0"], GOOD_LOCK + "# from https://host/simple\n"),
    ],
)
def test_planted_lock(pins, lock):
    assert check_lock(pins, lock)


def test_good_lock():
    assert not check_lock(["numpy==1.0"], GOOD_LOCK)
