"""ARM's paths under emulation: chosen by what the processor has, and golden bits."""

import json
from pathlib import Path
from typing import Any

import pytest

from exact.native.build import get_zig_words
from exact.native.paths import CHOSEN, NOT_THERE
from tests.exact.native import arm
from tests.exact.native.zig import find_zig

pytestmark = pytest.mark.soak

ARM_PATHS = ("arm-i8mm", "arm-sdot", "neon", "portable")
# Emulated processor -> the path it must choose.
PROCESSORS = {"max": "arm-i8mm", "neoverse-n1": "arm-sdot", "cortex-a72": "neon"}
COMPILERS = (*arm.CROSS_COMPILERS, "zig")
SCRIPT = ("-m", "tests.exact.native.emulated")


@pytest.fixture(scope="module")
def trees(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return {"": tmp_path_factory.mktemp("arm")}


def get_tree(trees: dict[str, Path], compiler: str) -> Path:
    arm.get_emulator()
    arm.prepare_root()
    if compiler not in trees:
        if compiler == "zig":
            words = (find_zig(), *get_zig_words("aarch64")[1:])
        else:
            words = arm.CROSS_COMPILERS[compiler]
        trees[compiler] = arm.prepare_tree(words, trees[""] / compiler)
    return trees[compiler]


def run(processor: str, tree: Path, *arguments: str) -> dict[str, Any]:
    result = json.loads(arm.run(processor, tree, *SCRIPT, *arguments).splitlines()[-1])
    assert result["machine"] == "aarch64"
    return result


@pytest.mark.parametrize("processor", PROCESSORS)
@pytest.mark.parametrize("compiler", COMPILERS)
def test_chosen(compiler: str, processor: str, trees: dict[str, Path]) -> None:
    chosen = PROCESSORS[processor]
    position = ARM_PATHS.index(chosen)
    wanted = dict.fromkeys(ARM_PATHS[:position], NOT_THERE)
    wanted |= {chosen: CHOSEN} | dict.fromkeys(ARM_PATHS[position + 1 :], "faithful")
    assert run(processor, get_tree(trees, compiler))["paths"] == wanted


@pytest.mark.parametrize("path", ARM_PATHS)
@pytest.mark.parametrize("compiler", COMPILERS)
def test_traces(compiler: str, path: str, trees: dict[str, Path]) -> None:
    result = run("max", get_tree(trees, compiler), path, "2", "short", "500")
    assert result["wrong_traces"] == []
    assert result["num_products"] == 500


@pytest.mark.parametrize("num_threads", ["1", "2"])
@pytest.mark.parametrize("processor", PROCESSORS)
def test_long_traces(processor: str, num_threads: str, trees: dict[str, Path]) -> None:
    tree = get_tree(trees, "gcc")
    result = run(processor, tree, PROCESSORS[processor], num_threads, "long", "0")
    assert result["wrong_traces"] == []
