"""Constructs that hide errors or run what a stranger sent.

`except Exception` is allowed in one place a process, which logs and stops or isolates (STYLE.md
29). `except BaseException` is allowed where the block ends with a bare `raise`: it cleans up.
"""

import ast
from pathlib import Path

import pytest

from tests.lints.tree import PACKAGES, list_python, parse

# file -> why its handler may catch everything
CATCH_ALL: dict[str, str] = {
    "cli/main.py": "an error nobody foresaw is shown whole and ends the command",
    "node/engine/control_server.py": "answers the caller, then stops the node",
    "node/engine/comet/abci_server.py": "tells CometBFT, then stops the node",
    "node/doors/grpc_services.py": "a bug in one query must not stop the door",
    "node/doors/rpc_door.py": "a bug in one route must not stop the door",
    "node/doors/rest_door.py": "a bug in one route must not stop the door",
    "node/doors/substrate_door.py": "a bug in one method must not stop the door",
}
BROAD = {"Exception", "BaseException"}
FORBIDDEN_MODULES = {"pickle", "cPickle", "dill", "cloudpickle", "shelve", "marshal", "joblib"}
# Runs in a fork without the other threads: gRPC aborts there now and then (`comet/tied.py`).
FORBIDDEN_OPTIONS = {"preexec_fn"}
FORBIDDEN_CALLS = {"eval", "exec", "torch.load", "numpy.load", "np.load", "yaml.load", "os.system"}


def get_caught(handler: ast.ExceptHandler) -> set[str]:
    """Get the names a handler catches; a bare `except` catches BaseException."""
    if handler.type is None:
        return {"BaseException"}
    kinds = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
    return {ast.unparse(kind) for kind in kinds}


def check_handlers(path: Path, tree: ast.Module) -> list[str]:
    """List handlers that catch everything where it is not allowed."""
    problems = []
    for node in ast.walk(tree):
        if not isinstance(node, ast.ExceptHandler) or not get_caught(node) & BROAD:
            continue
        last = node.body[-1]
        is_cleanup = isinstance(last, ast.Raise) and last.exc is None
        if not is_cleanup and str(path) not in CATCH_ALL:
            problems.append(f"{path}:{node.lineno}: catches everything")
    return problems


def check_calls(path: Path, tree: ast.Module) -> list[str]:
    """List imports and calls that execute or unpack data."""
    problems = []
    for node in ast.walk(tree):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [a.name for a in node.names if a.name.split(".")[0] in FORBIDDEN_MODULES]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module] if node.module.split(".")[0] in FORBIDDEN_MODULES else []
        elif isinstance(node, ast.Call) and ast.unparse(node.func) in FORBIDDEN_CALLS:
            names = [ast.unparse(node.func)]
        elif isinstance(node, ast.keyword) and node.arg in FORBIDDEN_OPTIONS:
            names = [node.arg]
        problems += [f"{path}:{node.lineno}: {name}" for name in names]
    return problems


def test_no_hazards():
    problems = []
    for path in list_python():
        problems += check_calls(path, parse(path))
        if path.parts[0] in PACKAGES:
            problems += check_handlers(path, parse(path))
    assert not problems, "\n".join(problems)


@pytest.mark.parametrize(
    "handler", ["except Exception", "except", "except (ValueError, BaseException)"]
)
def test_planted_handler(handler):
    tree = ast.parse(f"try:\n    f()\n{handler}:\n    pass")
    assert check_handlers(Path("miner/x.py"), tree)


def test_cleanup_is_allowed():
    tree = ast.parse("try:\n    f()\nexcept BaseException:\n    g()\n    raise")
    assert not check_handlers(Path("miner/x.py"), tree)


@pytest.mark.parametrize(
    "source",
    [
        *("import pickle", "from pickle import loads", "torch.load(p)", "eval('1')"),
        *("np.load(path)", "run(command, preexec_fn=f)"),
    ],
)
def test_planted_call(source):
    assert check_calls(Path("miner/x.py"), ast.parse(source))
