"""Wheels of `make wheels`: their names, what they need, and the kernels inside at work."""

import os
import shutil
import subprocess
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

from exact.native.build import GLIBC, get_machine, get_shipped_name
from exact.native.paths import CHOSEN
from tests.exact.native import arm
from tests.exact.native.conftest import PATHS
from tests.exact.traces import ROOT

pytestmark = pytest.mark.soak
MACHINES = ("x86_64", "aarch64")
# Processors that QEMU can be, and the path that they must choose.
X86_PROCESSORS = {"Nehalem": "portable", "Haswell": "avx2"}


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    python = ROOT / ".wheels/bin/python"
    if not python.exists():
        pytest.skip("no .wheels: `make wheels` makes it")
    folder, found = tmp_path_factory.mktemp("wheels"), {}
    for machine in MACHINES:
        target = folder / machine
        subprocess.run(
            [python, "-m", "hatchling", "build", "-t", "wheel", "-d", target],
            cwd=ROOT,
            env={**os.environ, "DESCENT_WHEEL": machine},
            check=True,
            capture_output=True,
        )
        (found[machine],) = target.iterdir()
    return found


def unpack(wheel: Path, folder: Path) -> Path:
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    return folder


@pytest.mark.parametrize("machine", MACHINES)
def test_a_wheel(machine: str, wheels: dict[str, Path], tmp_path: Path) -> None:
    tag = f"manylinux_{GLIBC.replace('.', '_')}_{machine}.manylinux2014_{machine}"
    assert wheels[machine].name.endswith(f"-py3-none-{tag}.whl")
    folder = unpack(wheels[machine], tmp_path)
    (library,) = folder.rglob("*.so")
    assert library.name == get_shipped_name(machine)
    assert not list(folder.rglob("_build"))
    readelf = shutil.which("readelf")
    if readelf is None:
        pytest.skip("no readelf to list what it needs")
    text = subprocess.run(
        [readelf, "-dVW", library], capture_output=True, text=True, check=True
    ).stdout
    needed = {line.split("[")[1].rstrip("]") for line in text.splitlines() if "(NEEDED)" in line}
    assert needed <= {"libm.so.6", "libpthread.so.0", "libc.so.6"}
    versions = {word for word in text.split() if word.startswith("GLIBC_")}
    newest = max(tuple(map(int, word[6:].split("."))) for word in versions)
    assert newest <= tuple(map(int, GLIBC.split(".")))


def install(wheel: Path, folder: Path) -> Path:
    """Install a wheel in a fresh environment; what it depends on is looked up here."""
    venv.create(folder, with_pip=True, symlinks=True)
    python = folder / "bin/python"
    subprocess.run(
        [python, "-m", "pip", "install", "-q", "--no-deps", "--no-index", wheel], check=True
    )
    (site,) = folder.glob("lib/python*/site-packages")
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return folder / "bin"


@pytest.fixture(scope="module")
def installed(wheels: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    if get_machine() != "x86_64":
        pytest.skip("the wheel is for x86-64")
    return install(wheels["x86_64"], tmp_path_factory.mktemp("installed"))


def test_probe_of_an_installed_wheel(installed: Path, tmp_path: Path) -> None:
    """`descent exact probe`, without a compiler, with the kernels that the wheel brought."""
    bare = {"PATH": str(tmp_path), "HOME": str(tmp_path)}
    done = subprocess.run(
        [installed / "descent", "exact", "probe"],
        cwd=tmp_path,
        env=bare,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    words = done.stdout.split()
    assert words[words.index("native") + 1] == PATHS[0]
    assert words[words.index(PATHS[0], words.index("verdict")) + 1] == CHOSEN
    assert not list(tmp_path.rglob("*.so"))


@pytest.mark.parametrize("processor", X86_PROCESSORS)
def test_other_x86_processors(processor: str, installed: Path, tmp_path: Path) -> None:
    emulator = shutil.which("qemu-x86_64-static") or shutil.which("qemu-x86_64")
    if emulator is None:
        pytest.skip("no emulator of x86-64: apt-get install qemu-user-static")
    script = "import exact.probe as p; print(p.load_faithful_backend('native').description)"
    done = subprocess.run(
        [emulator, "-cpu", processor, installed / "python", "-W", "ignore", "-c", script],
        cwd=tmp_path,
        env={"PATH": "", "HOME": str(tmp_path), "OMP_NUM_THREADS": "2"},
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == f"native {X86_PROCESSORS[processor]}"


@pytest.mark.parametrize("processor", ["max", "cortex-a72"])
def test_the_wheel_for_arm(processor: str, wheels: dict[str, Path], tmp_path: Path) -> None:
    tree = unpack(wheels["aarch64"], tmp_path)
    script = "import exact.probe as p; print(p.load_faithful_backend('native').description)"
    path = "arm-i8mm" if processor == "max" else "neon"
    assert arm.run(processor, tree, "-W", "ignore", "-c", script).strip() == f"native {path}"


def test_an_editable_install_compiles_nothing(tmp_path: Path) -> None:
    """The hook works for `make wheels` alone: without its variable a wheel is for any machine."""
    python = ROOT / ".wheels/bin/python"
    if not python.exists():
        pytest.skip("no .wheels: `make wheels` makes it")
    env = {name: value for name, value in os.environ.items() if name != "DESCENT_WHEEL"}
    command = [python, "-m", "hatchling", "build", "-t", "wheel", "-d", tmp_path]
    subprocess.run(command, cwd=ROOT, env=env, check=True, capture_output=True)
    (wheel,) = tmp_path.iterdir()
    assert wheel.name.endswith("-py3-none-any.whl")
    assert not [name for name in zipfile.ZipFile(wheel).namelist() if name.endswith(".so")]
