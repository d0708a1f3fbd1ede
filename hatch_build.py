"""Put the compiled kernels into a wheel: hatchling's hook, used by `make wheels`.

With DESCENT_WHEEL=x86_64 or aarch64 the library is compiled for that machine by zig, checked, and
laid where `exact/native/build.py` looks first; the wheel's name says which glibc it needs. Without
it a wheel has the sources alone, and is for any machine.
"""

import os
import re
import sys
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

ROOT = Path(__file__).parent
sys.path.insert(0, str(ROOT))

from exact.native import build  # noqa: E402

MACHINES = ("x86_64", "aarch64")
# e_machine of an ELF header
ELF_MACHINES = {62: "x86_64", 183: "aarch64"}


class NativeHook(BuildHookInterface):
    """Compiles the library before a wheel is packed."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile for the machine that DESCENT_WHEEL names.

        Raises:
            SystemExit: another machine, or the library needs a newer glibc than it may.
            BuildFailed: zig failed.
        """
        machine = os.environ.get("DESCENT_WHEEL")
        if not machine or version == "editable":
            return
        if machine not in MACHINES:
            raise SystemExit(f"DESCENT_WHEEL is {machine!r}; it may be {' or '.join(MACHINES)}")
        self._scratch = tempfile.TemporaryDirectory()
        words = (*build.get_zig_words(machine), "-Wl,-s")
        library = build.compile_library(
            words, build.DEFAULT_LEVEL, Path(self._scratch.name), machine
        )
        ensure_portable(library.read_bytes(), machine)
        name = build.get_shipped_name(machine)
        build_data["force_include"][str(library)] = f"exact/native/{build.SHIPPED.name}/{name}"
        build_data["pure_python"] = False
        tag = build.GLIBC.replace(".", "_")
        build_data["tag"] = f"py3-none-manylinux_{tag}_{machine}.manylinux2014_{machine}"

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """Remove what was compiled."""
        if hasattr(self, "_scratch"):
            self._scratch.cleanup()


def ensure_portable(library: bytes, machine: str) -> None:
    """Refuse a library for another machine or a newer glibc than the wheel's name promises.

    Raises:
        SystemExit: it is.
    """
    found = ELF_MACHINES.get(int.from_bytes(library[18:20], "little"), "another machine")
    if library[:4] != b"\x7fELF" or found != machine:
        raise SystemExit(f"the library is for {found}, not {machine}")
    names = {tuple(map(int, v.split(b"."))) for v in re.findall(rb"GLIBC_([0-9.]+)\0", library)}
    newest = max(names, default=(0,))
    if newest > tuple(map(int, build.GLIBC.split("."))):
        raise SystemExit(f"the library needs glibc {'.'.join(map(str, newest))}")
