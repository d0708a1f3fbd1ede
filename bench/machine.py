"""Describe the machine a number was measured on."""

import os
import platform
from pathlib import Path

CPU_INFO = Path("/proc/cpuinfo")
MEMORY_INFO = Path("/proc/meminfo")
FLAGS = ("avx2", "avx512f", "avx512_vnni")


def describe_machine() -> dict[str, object]:
    """Return model and number of processors, memory, load, Python, as JSON data."""
    fields = read_fields(CPU_INFO)
    flags = fields.get("flags", "").split()
    memory_kib = read_fields(MEMORY_INFO).get("MemTotal", "0 kB").split()[0]
    return {
        "processor": fields.get("model name", platform.processor() or platform.machine()),
        "num_processors": os.cpu_count(),
        "instruction_sets": [flag for flag in FLAGS if flag in flags],
        "memory_gib": round(int(memory_kib) / 2**20, 1),
        "load_1_minute": round(os.getloadavg()[0], 2),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
    }


def read_fields(path: Path) -> dict[str, str]:
    """Read the first `name: value` of every name; empty where there is no such file."""
    try:
        lines = path.read_text().splitlines()
    except OSError:
        return {}
    fields: dict[str, str] = {}
    for line in lines:
        name, _, value = line.partition(":")
        fields.setdefault(name.strip(), value.strip())
    return fields
