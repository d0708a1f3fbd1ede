"""The files of the repository, read and parsed once.

In a checkout these are the tracked files and the new ones that are not ignored; in a tree without
git, every file outside hidden and build folders.
"""

import ast
import subprocess
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TEXT_SUFFIXES = {".py", ".md", ".toml", ".proto", ".yml", ".yaml", ".txt", ".json", ".lock", ".sh"}
SKIPPED_FOLDERS = {"node_modules", "__pycache__", "dist", "build"}
PACKAGES = (
    *("proto", "node", "chain_client", "exact", "scoring"),
    *("miner", "validator", "genesis", "cli", "explorer"),
)


@cache
def list_files() -> tuple[Path, ...]:
    """List the files by path relative to the root."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    try:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return tuple(sorted(path.relative_to(ROOT) for path in ROOT.rglob("*") if _is_kept(path)))
    names = {name for name in done.stdout.decode().split("\0") if name}
    return tuple(Path(name) for name in sorted(names) if (ROOT / name).is_file())


def _is_kept(path: Path) -> bool:
    parts = path.relative_to(ROOT).parts
    is_hidden = any(part.startswith(".") and part != ".ci" for part in parts)
    return path.is_file() and not is_hidden and not SKIPPED_FOLDERS & set(parts)


def is_generated(path: Path) -> bool:
    """Whether a file is written by a tool: protobuf stubs."""
    return path.name.endswith(("_pb2.py", "_pb2.pyi", "_pb2_grpc.py"))


@cache
def list_python() -> tuple[Path, ...]:
    """List the Python files written by hand."""
    return tuple(p for p in list_files() if p.suffix == ".py" and not is_generated(p))


def list_text() -> list[Path]:
    """List files that hold text."""
    plain = {"Makefile", "Dockerfile", "run", ".gitignore", ".dockerignore"}
    return [p for p in list_files() if p.suffix in TEXT_SUFFIXES or p.name in plain]


@cache
def read(path: Path) -> str:
    """Read a file by path relative to the root."""
    return (ROOT / path).read_text(encoding="utf-8")


@cache
def parse(path: Path) -> ast.Module:
    """Parse a Python file."""
    return ast.parse(read(path), str(path))
