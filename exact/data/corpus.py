"""Find the files of a corpus and decide which are held out.

The default corpus is the source text of the running Python's standard library: real, on every
machine, and the same for one Python version. Two parts are left out because they depend on the
machine and not on the version: the library's own tests, which some systems do not install, and
`_sysconfigdata*`, which records how this Python was built.
"""

import hashlib
import os
import sysconfig
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from exact.data.errors import InvalidCorpus

BYTE_TOKENIZER_HASH = hashlib.sha256(b"descent/bytes").digest()
TRAIN = "train"
HELDOUT = "heldout"
MAX_FILES = 1 << 20
_HELDOUT_PPM = 50_000
_SKIPPED_FOLDERS = frozenset({"site-packages", "dist-packages", "__pycache__"})
_TEST_FOLDERS = frozenset({"test", "tests", "idle_test"})


@dataclass(frozen=True)
class SourceFile:
    """A file of a corpus: `path` names it in the dataset (POSIX, relative), `location` on disk."""

    path: str
    location: Path


def collect_stdlib_files(*, include_tests: bool = False) -> list[SourceFile]:
    """List the .py files of the running Python's standard library, sorted by path.

    Raises:
        InvalidCorpus: this Python carries no source.
    """
    root = Path(sysconfig.get_path("stdlib"))
    skipped = _SKIPPED_FOLDERS if include_tests else _SKIPPED_FOLDERS | _TEST_FOLDERS
    files = [
        file
        for file in _walk(root, skipped)
        if file.path.endswith(".py") and not file.location.name.startswith("_sysconfigdata")
    ]
    if len(files) < 2:
        raise InvalidCorpus(
            f"{root} holds no source files; give a directory of text with --dataset DIR"
        )
    return files


def collect_directory_files(directory: Path) -> list[SourceFile]:
    """List every file under a directory except hidden ones, sorted by path.

    Raises:
        InvalidCorpus: no such directory, fewer than two files, or one that is not UTF-8 text.
    """
    if not directory.is_dir():
        raise InvalidCorpus(f"{directory} is not a directory")
    files = list(_walk(directory, frozenset()))
    for file in files:
        _ensure_text(file)
    if len(files) < 2:
        raise InvalidCorpus(
            f"{directory} holds {len(files)} text files; two are needed, one to train on and one"
            " to hold out"
        )
    return files


def choose_splits(paths: Sequence[str]) -> dict[str, str]:
    """Decide by the hash of its path which split a file is in; both get at least one file.

    Args:
        paths: at least two, distinct.

    Returns:
        path -> TRAIN or HELDOUT, about 5 % of files held out.

    Raises:
        InvalidCorpus: fewer than two paths.
    """
    if len(paths) < 2:
        raise InvalidCorpus(f"{len(paths)} files; two are needed, one of them held out")
    draws = {path: hashlib.sha256(path.encode()).digest() for path in paths}
    ranked = sorted(paths, key=lambda path: draws[path])
    threshold = (_HELDOUT_PPM << 64) // 10**6
    splits = {
        path: HELDOUT if int.from_bytes(draws[path][:8], "big") < threshold else TRAIN
        for path in paths
    }
    splits[ranked[0]] = HELDOUT
    splits[ranked[-1]] = TRAIN
    return splits


def read_source(file: SourceFile) -> bytes:
    """Read a whole file.

    Raises:
        InvalidCorpus: it cannot be read.
    """
    try:
        return file.location.read_bytes()
    except OSError as error:
        raise InvalidCorpus(f"cannot read {file.location}: {error.strerror}") from error


def _walk(root: Path, skipped_folders: frozenset[str]) -> Iterator[SourceFile]:
    found = []
    for folder, subfolders, names in os.walk(root):
        subfolders[:] = [
            name for name in subfolders if name not in skipped_folders and name[0] != "."
        ]
        for name in names:
            location = Path(folder, name)
            if name[0] != "." and location.is_file() and location.stat().st_size:
                found.append(SourceFile(location.relative_to(root).as_posix(), location))
        if len(found) > MAX_FILES:
            raise InvalidCorpus(f"{root} holds over {MAX_FILES} files")
    for file in sorted(found, key=lambda file: os.fsencode(file.path)):
        _ensure_path(file)
        yield file


def _ensure_path(file: SourceFile) -> None:
    try:
        file.path.encode()
    except UnicodeEncodeError:
        raise InvalidCorpus(f"{file.location!r}: the name is not UTF-8; rename the file") from None


def _ensure_text(file: SourceFile) -> None:
    try:
        text = read_source(file).decode()
    except UnicodeDecodeError as error:
        raise InvalidCorpus(
            f"{file.location} is not UTF-8 text (byte {error.start}); move it away or convert it"
        ) from None
    if "\0" in text:
        raise InvalidCorpus(f"{file.location} is not text: it holds a zero byte; move it away")
