"""Compile the native library: `python -m exact.native.build`.

Every path is one object made from path.c with its own instruction-set flags, so the library runs
on any processor of its architecture and chooses at load. What is built lies in `_build` beside the
sources, or in the user's cache when that folder cannot be written, under a name made of the
sources, the flags and the compiler, so nothing stale is ever loaded.
"""

import functools
import hashlib
import importlib.util
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from exact.errors import UnfaithfulDevice

FOLDER = Path(__file__).parent
SOURCES = tuple(sorted(path.name for path in FOLDER.glob("*.[ch]")))
# No contraction and no fast-math: either would change bits.
FLAGS = (
    "-std=gnu11",
    "-fPIC",
    "-ffp-contract=off",
    "-fno-math-errno",
    "-fno-trapping-math",
    "-fno-strict-aliasing",
    "-fvisibility=hidden",
)
DEFAULT_LEVEL = "-O3"
_AVX512 = ("-DPATH_AVX512", "-mavx512f", "-mavx512bw", "-mavx512dq", "-mavx512vl", "-mfma")
_AVX2 = ("-DPATH_AVX2", "-mavx2")
# object -> flags of path.c
X86_PATHS: dict[str, tuple[str, ...]] = {
    "avx512_vnni": (*_AVX512, "-DPATH_VNNI", "-mavx512vnni"),
    "avx512": _AVX512,
    "avx2_vnni": (*_AVX2, "-DPATH_VNNI", "-mavxvnni"),
    "avx2": _AVX2,
}
PLAIN = ("library.c", "pool.c")
COMPILE_SECONDS = 300
LAST_LINES = 12


class BuildFailed(UnfaithfulDevice):
    """The native library could not be compiled; the message ends in the compiler's last lines."""


def find_compiler() -> tuple[str, ...]:
    """Find a C compiler: $CC, cc, gcc, clang, or the clang of the ziglang wheel.

    Returns:
        The command's first words.

    Raises:
        BuildFailed: there is none.
    """
    chosen = os.environ.get("CC")
    if chosen:
        words = tuple(chosen.split())
        if shutil.which(words[0]) is None:
            raise BuildFailed(f"no compiler {words[0]!r}, which CC names")
        return words
    for name in ("cc", "gcc", "clang"):
        if shutil.which(name):
            return (name,)
    if importlib.util.find_spec("ziglang"):
        return (sys.executable, "-m", "ziglang", "cc")
    raise BuildFailed(
        "no C compiler (cc, gcc, clang or the ziglang wheel): install one, or `pip install ziglang`"
    )


def ensure_built(level: str = DEFAULT_LEVEL, compiler: Sequence[str] | None = None) -> Path:
    """Compile the library unless it is there.

    Args:
        level: optimisation flag; every level gives the same bits.
        compiler: a command's first words; found when not given.

    Returns:
        The shared library's path.

    Raises:
        BuildFailed: no compiler, or it failed.
    """
    words = tuple(compiler or find_compiler())
    name = f"libdescent_exact-{_compute_key(words, level)}.so"
    for folder in _list_folders():
        if (folder / name).exists():
            return folder / name
    folder = _choose_folder()
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        built = _compile(words, level, Path(scratch))
        os.replace(built, folder / name)
    return folder / name


def list_paths() -> dict[str, tuple[str, ...]]:
    """List object name -> flags of path.c on this architecture."""
    is_x86 = platform.machine().lower() in ("x86_64", "amd64")
    return {**(X86_PATHS if is_x86 else {}), "portable": ()}


@functools.cache
def _compute_key(compiler: tuple[str, ...], level: str) -> str:
    digest = hashlib.sha256()
    for name in SOURCES:
        digest.update(name.encode() + b"\0" + (FOLDER / name).read_bytes())
    flags = [
        compiler,
        FLAGS,
        level,
        sorted(list_paths().items()),
        platform.machine(),
        platform.system(),
    ]
    digest.update(repr(flags).encode())
    version = _run([*compiler, "--version"])
    digest.update(version.encode())
    return digest.hexdigest()[:16]


def _list_folders() -> list[Path]:
    cache = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return [FOLDER / "_build", Path(cache) / "descent" / "native"]


def _choose_folder() -> Path:
    for folder in _list_folders():
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=folder):
                return folder
        except OSError:
            continue
    raise BuildFailed("no folder to build in can be written: set XDG_CACHE_HOME")


def _compile(compiler: tuple[str, ...], level: str, scratch: Path) -> Path:
    common = [*compiler, level, *FLAGS, "-c"]
    jobs = [
        [*common, f"-DPATH_NAME=run_{name}", *flags, str(FOLDER / "path.c"), "-o", f"{name}.o"]
        for name, flags in list_paths().items()
    ]
    jobs += [[*common, str(FOLDER / name), "-o", f"{name}.o"] for name in PLAIN]
    with ThreadPoolExecutor(max_workers=os.cpu_count() or 1) as pool:
        list(pool.map(lambda job: _run(job, scratch), jobs))
    objects = [job[-1] for job in jobs]
    _run([*compiler, "-shared", "-o", "library.so", *objects, "-lm", "-lpthread"], scratch)
    return scratch / "library.so"


def _run(command: Sequence[str], folder: Path | None = None) -> str:
    try:
        done = subprocess.run(
            command,
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=COMPILE_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise BuildFailed(f"{command[0]} did not run: {error}") from error
    if done.returncode:
        lines = (done.stderr or done.stdout).strip().splitlines()[-LAST_LINES:]
        raise BuildFailed(f"{command[0]} failed with code {done.returncode}:\n" + "\n".join(lines))
    return done.stdout


if __name__ == "__main__":
    try:
        print(ensure_built())
    except BuildFailed as error:
        print(f"native kernels not built, torch will do: {error}", file=sys.stderr)
