"""What the tests run inside an emulator: `python -m tests.exact.native.emulated ...`.

Without arguments it tells what became of every path. With a path, a number of threads, "long" or
"short", and a number of products, it compares golden traces and adversarial products too. Prints
JSON.
"""

import json
import platform
import sys
import warnings
from typing import Any

from exact import probe
from exact.backends.native_backend import NativeBackend
from exact.native.paths import CHOSEN, NOT_TRIED, check_path, choose_path
from tests.exact.native.products import compare_products
from tests.exact.traces import find_wrong_traces


def check_every_path() -> dict[str, str]:
    """Path -> "chosen", or why not; those slower than the chosen one are tried as well."""
    choice = choose_path()
    reasons = dict(choice.reasons)
    for name, reason in reasons.items():
        if reason == NOT_TRIED:
            verdict = check_path(choice.library, name)
            reasons[name] = "faithful" if verdict == CHOSEN else verdict
    return reasons


def compare(path: str, num_threads: int, length: str, num_products: int) -> dict[str, Any]:
    """Compare one path with golden traces and with the definition."""
    backend = NativeBackend(path, num_threads)
    probe.ensure_faithful(backend)
    wrong = find_wrong_traces(backend, length == "long")
    num = compare_products(backend.choice.library, [path], num_products, 3)
    return {"wrong_traces": wrong, "num_products": num}


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    result: dict[str, Any] = {"machine": platform.machine()}
    if len(sys.argv) == 1:
        result["paths"] = check_every_path()
    else:
        result |= compare(sys.argv[1], int(sys.argv[2]), sys.argv[3], int(sys.argv[4]))
    print(json.dumps(result))
