"""An aarch64 Python under user-mode emulation, from Debian's packages, without installing any.

`.arm` of the checkout gets what `apt-get` would install on an ARM machine, unpacked. QEMU runs it;
its processors differ in what they have: Cortex-A72 no dot products, Neoverse N1 SDOT, `max` all.
"""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

import pytest

from exact.native import build
from tests.exact.traces import ROOT

FOLDER = ROOT / ".arm"
PACKAGES = ("python3-minimal", "python3-numpy", "libpython3-stdlib")
EMULATORS = ("qemu-aarch64-static", "qemu-aarch64")
TIMEOUT_SECONDS = 1_500
# Compiler -> its command's first words for aarch64.
CROSS_COMPILERS = {
    "gcc": ("aarch64-linux-gnu-gcc",),
    "clang": ("clang", "--target=aarch64-linux-gnu"),
}


def get_emulator() -> str:
    """Return where the emulator is, or skip the test."""
    for name in EMULATORS:
        found = shutil.which(name)
        if found:
            return found
    pytest.skip("no emulator of aarch64: apt-get install qemu-user-static")


def prepare_root() -> Path:
    """Return a folder that is an aarch64 system with Python and numpy, or skip the test."""
    root = FOLDER / "root"
    if root.exists():
        return root
    for tool in ("apt-get", "dpkg-deb"):
        if shutil.which(tool) is None:
            pytest.skip(f"no {tool}, which would get Python for aarch64")
    packages = _download(FOLDER)
    if not packages:
        pytest.skip("no packages of aarch64 to be had")
    with tempfile.TemporaryDirectory(dir=FOLDER) as scratch:
        for package in packages:
            subprocess.run(["dpkg-deb", "-x", package, scratch], check=True)
        Path(scratch).chmod(0o755)
        shutil.copytree(scratch, root, symlinks=True)
    return root


def _download(folder: Path) -> list[Path]:
    """Let apt-get find and download PACKAGES for aarch64, with a state of its own."""
    for name in ("state/lists/partial", "cache/archives/partial"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    (folder / "status").touch()
    options = {
        "APT::Architecture": "arm64",
        "APT::Architectures": "arm64",
        "Dir::State": folder / "state",
        "Dir::State::status": folder / "status",
        "Dir::Cache": folder / "cache",
        "Debug::NoLocking": 1,
    }
    if os.geteuid() == 0:
        options["APT::Sandbox::User"] = "root"
    words = ["apt-get", "-qq", *(f"-o{name}={value}" for name, value in options.items())]
    wanted = ["-y", "--no-install-recommends", "--download-only", "install", *PACKAGES]
    for command in (["update"], wanted):
        # A source without aarch64 fails an update that brought everything else.
        subprocess.run([*words, *command], capture_output=True, timeout=300, check=False)
    return sorted((folder / "cache/archives").glob("*.deb"))


def prepare_tree(compiler: Sequence[str], folder: Path) -> Path:
    """Make a folder with the sources and tests, and the library compiled for aarch64."""
    if shutil.which(compiler[0]) is None:
        pytest.skip(f"no {compiler[0]} here")
    leave = shutil.ignore_patterns("_build", "_shipped", "__pycache__")
    for name in ("exact", "tests/exact", "tests/vectors/exact"):
        shutil.copytree(ROOT / name, folder / name, ignore=leave)
    (folder / "tests/__init__.py").touch()
    scratch = folder / "scratch"
    scratch.mkdir()
    built = build.compile_library(compiler, build.DEFAULT_LEVEL, scratch, "aarch64")
    shipped = folder / "exact/native/_shipped"
    shipped.mkdir()
    shutil.move(built, shipped / build.get_shipped_name("aarch64"))
    return folder


def run(processor: str, tree: Path, *arguments: str) -> str:
    """Run Python with arguments in a tree; return what it prints."""
    root = prepare_root()
    python_path = f"{tree}:{root}/usr/lib/python3/dist-packages"
    libraries = "/usr/lib/aarch64-linux-gnu"
    command = [get_emulator(), "-cpu", processor, "-L", str(root)]
    command += ["-E", f"LD_LIBRARY_PATH={libraries}/blas:{libraries}/lapack"]
    command += [str(next(root.glob("usr/bin/python3.*"))), *arguments]
    done = subprocess.run(
        command,
        cwd=tree,
        env={"PATH": "", "PYTHONPATH": python_path, "HOME": str(tree)},
        capture_output=True,
        text=True,
        timeout=TIMEOUT_SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
