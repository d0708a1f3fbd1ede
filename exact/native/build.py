"""Compile the native library: `python -m exact.native.build`.

Every path is one object made from path.c with its own instruction-set flags, so the library runs
on any processor of its architecture and chooses at load. What is built lies in `_build` beside the
sources, or in the user's cache when that folder cannot be written, under a name made of the
sources, the flags and the compiler, so nothing stale is ever loaded. A wheel brings the library in
`_shipped`, under a name made of the sources and the machine.
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
# gcc, clang and zig call architectures differently, but single features alike.
ARM_PATHS: dict[str, tuple[str, ...]] = {
    "arm_i8mm": ("-DPATH_NEON", "-DPATH_SDOT", "-DPATH_I8MM", "-mcpu=generic+dotprod+i8mm"),
    "arm_sdot": ("-DPATH_NEON", "-DPATH_SDOT", "-mcpu=generic+dotprod"),
    "neon": ("-DPATH_NEON",),
}
PLAIN = ("library.c", "pool.c")
SHIPPED = FOLDER / "_shipped"
# The oldest glibc that a library compiled by zig needs; wheels promise it in their names.
GLIBC = "2.17"
COMPILE_SECONDS = 300
LAST_LINES = 12


class BuildFailed(UnfaithfulDevice):
    """The native library could not be compiled; the message ends in the compiler's last lines."""


def find_compiler() -> tuple[str, ...]:
    """Find a C compiler: $CC, cc, gcc, clang, or the clang of the ziglang wheel.

    Returns:
        The command's first words.

    Raises:
        BuildFailed: there is none; the message says what to install.
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
        return get_zig_words(get_machine())
    raise BuildFailed(
        "no C compiler (cc, gcc, clang or the ziglang wheel): install one, or `pip install ziglang`"
    )


def get_machine() -> str:
    """Return this machine's architecture as compilers call it."""
    name = platform.machine().lower()
    return {"amd64": "x86_64", "arm64": "aarch64"}.get(name, name)


def get_zig_words(machine: str) -> tuple[str, ...]:
    """Return zig's clang for any processor of an architecture.

    Without a target zig compiles for the processor it runs on, and the path that serves every
    machine would not.
    """
    is_linux = platform.system() == "Linux"
    target = ("-target", f"{machine}-linux-gnu.{GLIBC}") if is_linux else ("-mcpu=baseline",)
    words = (sys.executable, "-m", "ziglang", "cc", *target)
    return (*words, "-fno-sanitize=all", "-g0")


def ensure_built(level: str = DEFAULT_LEVEL, compiler: Sequence[str] | None = None) -> Path:
    """Compile the library unless it is there, or was shipped.

    Args:
        level: optimisation flag; every level gives the same bits.
        compiler: a command's first words; found when not given. Neither it nor $CC given, what a
            wheel has shipped serves.

    Returns:
        The shared library's path.

    Raises:
        BuildFailed: no compiler, or it failed.
    """
    shipped = SHIPPED / get_shipped_name(get_machine())
    if compiler is None and "CC" not in os.environ and level == DEFAULT_LEVEL and shipped.exists():
        return shipped
    words = tuple(compiler or find_compiler())
    name = f"libdescent_exact-{_compute_key(words, level)}.so"
    for folder in _list_folders():
        if (folder / name).exists():
            return folder / name
    folder = _choose_folder()
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        built = compile_library(words, level, Path(scratch))
        os.replace(built, folder / name)
    return folder / name


def list_paths(machine: str) -> dict[str, tuple[str, ...]]:
    """List object name -> flags of path.c on an architecture."""
    paths = {"x86_64": X86_PATHS}
    if platform.system() == "Linux":
        paths["aarch64"] = ARM_PATHS
    return {**paths.get(machine, {}), "portable": ()}


def get_shipped_name(machine: str) -> str:
    """Return what a library of these sources is called in a wheel."""
    return f"libdescent_exact-{_hash_sources().hexdigest()[:16]}-{machine}.so"


@functools.cache
def _compute_key(compiler: tuple[str, ...], level: str) -> str:
    digest = _hash_sources()
    machine = get_machine()
    paths = sorted(list_paths(machine).items())
    flags = [compiler, FLAGS, level, paths, machine, platform.system()]
    digest.update(repr(flags).encode())
    version = _run([*compiler, "--version"])
    digest.update(version.encode())
    return digest.hexdigest()[:16]


def _hash_sources() -> "hashlib._Hash":
    digest = hashlib.sha256()
    for name in SOURCES:
        digest.update(name.encode() + b"\0" + (FOLDER / name).read_bytes())
    return digest


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


def compile_library(
    compiler: Sequence[str],
    level: str,
    scratch: Path,
    machine: str | None = None,
    extra: Sequence[str] = (),
) -> Path:
    """Compile all objects at once and link them.

    Args:
        compiler: a command's first words.
        level: optimisation flag.
        scratch: an empty folder.
        machine: what the compiler compiles for; this one when not given.
        extra: further flags of compiling and linking.

    Returns:
        The shared library in `scratch`.

    Raises:
        BuildFailed: the compiler failed; the message has its last lines.
    """
    compiler = [*compiler, *extra]
    common = [*compiler, level, *FLAGS, "-c"]
    jobs = [
        [*common, f"-DPATH_NAME=run_{name}", *flags, str(FOLDER / "path.c"), "-o", f"{name}.o"]
        for name, flags in list_paths(machine or get_machine()).items()
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
