"""Which tensor cores multiply: the first path that gives the known answers of the definition.

The cases are those of the native library (`exact/native/selftest.py`): saturated, wide, subnormal
and ordinary operands, every transposition, attention forward and backward, norms, activations,
loss, clip, AdamW.
"""

from typing import TYPE_CHECKING

from exact.errors import ExactError, UnfaithfulDevice
from exact.native.selftest import KNOWN_ANSWERS, build_bare_program, compute_digest, get_cases

if TYPE_CHECKING:
    from exact.backends.triton_backend import TritonBackend

PATHS = ("int8", "fp16")
CHOSEN = "chosen"
NOT_TRIED = "slower than the one chosen"
NOT_WANTED = "another one is wanted"


def choose_path(backend: "TritonBackend", wanted: str | None) -> tuple[str, dict[str, str]]:
    """Put the first faithful path into a backend.

    Args:
        backend: whose device is tested.
        wanted: only this path.

    Returns:
        (path, every path -> "chosen" or why not).

    Raises:
        UnfaithfulDevice: no path serves; the message says why for each.
    """
    if wanted is not None and wanted not in PATHS:
        raise UnfaithfulDevice(f"no triton path {wanted!r}; there are {', '.join(PATHS)}")
    reasons: dict[str, str] = {}
    chosen = ""
    for path in PATHS:
        if wanted not in (None, path):
            reasons[path] = NOT_WANTED
        elif chosen:
            reasons[path] = NOT_TRIED
        else:
            reasons[path] = check_path(backend, path)
            chosen = path if reasons[path] == CHOSEN else ""
    if not chosen:
        lines = [f"{name}: {reason}" for name, reason in reasons.items()]
        raise UnfaithfulDevice("no triton path serves: " + "; ".join(lines))
    backend.use_path(chosen)
    return chosen, reasons


def check_path(backend: "TritonBackend", path: str) -> str:
    """Return "chosen" for a path that gives the known answers, else why it is refused."""
    backend.use_path(path)
    try:
        wrong = find_wrong_answers(backend)
    except (ExactError, RuntimeError, ValueError) as error:
        lines = str(error).strip().splitlines()
        return f"self-test did not run: {lines[-1] if lines else type(error).__name__}"
    return f"self-test failed: {', '.join(wrong)}" if wrong else CHOSEN


def find_wrong_answers(backend: "TritonBackend") -> list[str]:
    """Run every case; return the names of those with another answer."""
    program = build_bare_program()
    wrong = []
    for name, (ops, inputs, keep) in get_cases().items():
        env = {key: backend._to_tensor(array) for key, array in inputs.items()}
        backend._execute(program, ops, env, set(keep))
        results = {key: backend._to_numpy(env[key]) for key in keep}
        if compute_digest(results) != KNOWN_ANSWERS.get(name):
            wrong.append(name)
    return wrong
