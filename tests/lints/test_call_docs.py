"""`Raises` and `Emits` of a pallet's calls agree with the code (STYLE.md 25).

What is read from the code: the class named in `raise X`, `ensure(condition, X)`, `refuse(X)` and
`ctx.emit(X(...))`, in the call and in what it calls in the same file, through `self` or by name.
Whatever is found there must be listed. A listed name must be declared somewhere in `node/`: it may
come from a capability of another pallet, which this rule does not follow.
"""

import ast
import re
from pathlib import Path

from tests.lints.tree import list_python, parse

BUGS = {"ValueError", "TypeError", "KeyError", "AssertionError", "InvariantBroken", "RuntimeError"}
# (call, refusal) -> why it cannot happen there
UNREACHABLE: dict[tuple[str, str], str] = {
    ("undelegate", "ConsensusKeyTypeRefused"): "the stored key was checked when it came in",
}


def list_documented(docstring: str, section: str) -> set[str]:
    """List the names after `Raises:` or `Emits:`, which end with a full stop."""
    match = re.search(rf"^\s*{section}:\s*((?:.|\n)*?)\.\s*(?:\n|$)", docstring, re.M)
    return set(re.findall(r"\b[A-Z]\w+", match.group(1))) if match else set()


def get_class_name(node: ast.expr) -> str:
    """Get the last part of `X`, `module.X` or `X(...)`; empty if it is none of these."""
    if isinstance(node, ast.Call):
        node = node.func
    name = ast.unparse(node).split(".")[-1] if isinstance(node, ast.Name | ast.Attribute) else ""
    return name if name[:1].isupper() else ""


def list_direct(function: ast.AST) -> tuple[set[str], set[str], set[str]]:
    """List what a function raises, emits, and which functions of its file it calls."""
    raised, emitted, called = set(), set(), set()
    for node in ast.walk(function):
        if isinstance(node, ast.Raise) and node.exc is not None:
            raised.add(get_class_name(node.exc))
        if not isinstance(node, ast.Call):
            continue
        name = ast.unparse(node.func)
        if name == "ensure" and len(node.args) > 1:
            raised.add(get_class_name(node.args[1]))
        elif name == "refuse":
            raised.add(get_class_name(node.args[0]))
        elif name == "ctx.emit":
            emitted.add(get_class_name(node.args[0]))
        elif re.fullmatch(r"(self\.)?[a-z_]\w*", name):
            called.add(name.removeprefix("self."))
    return raised - {""} - BUGS, emitted - {""}, called


def check_calls(path: Path, tree: ast.Module, declared: set[str]) -> list[str]:
    """List disagreements between the docstrings of calls and the code of one file."""
    functions = {node.name: node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
    problems = []
    for function in functions.values():
        if not any(ast.unparse(d).startswith("call(") for d in function.decorator_list):
            continue
        reached, todo = set(), [function.name]
        raised: set[str] = set()
        emitted: set[str] = set()
        while todo:
            name = todo.pop()
            if name in reached or name not in functions:
                continue
            reached.add(name)
            more_raised, more_emitted, called = list_direct(functions[name])
            raised, emitted = raised | more_raised, emitted | more_emitted
            todo += sorted(called)
        docstring = ast.get_docstring(function) or ""
        for section, found in (("Raises", raised), ("Emits", emitted)):
            listed = list_documented(docstring, section)
            where = f"{path}:{function.lineno}: {function.name}: {section}"
            problems += [
                f"{where} leaves out {name}"
                for name in sorted(found - listed)
                if (function.name, name) not in UNREACHABLE
            ]
            problems += [
                f"{where} names {name}: no such class" for name in sorted(listed - declared)
            ]
    return problems


def list_classes() -> set[str]:
    """List the classes of `node/`."""
    return {
        node.name
        for path in list_python()
        if path.parts[0] == "node"
        for node in ast.walk(parse(path))
        if isinstance(node, ast.ClassDef)
    }


def test_calls_say_what_they_do():
    paths = [p for p in list_python() if p.parts[:2] == ("node", "pallets")]
    declared = list_classes()
    problems = [problem for path in paths for problem in check_calls(path, parse(path), declared)]
    assert not problems, "\n".join(problems)


CALL = '''
class P:
    @call(0, A, B, signer="x")
    def send(self, ctx, origin, msg):
        """Send.

        Raises: {raises}.
        Emits: {emits}.
        """
        ensure(msg.x, errors.Refused, "no")
        self._step(ctx)

    def _step(self, ctx):
        if ctx:
            refuse(Late)
        ctx.emit(Sent(1))
'''


def test_planted():
    declared = {"Refused", "Late", "Sent"}

    def check(raises: str, emits: str) -> list[str]:
        tree = ast.parse(CALL.format(raises=raises, emits=emits))
        return check_calls(Path("x.py"), tree, declared)

    assert not check("Refused, Late", "Sent")
    assert check("Refused", "Sent")
    assert check("Refused,\n            Late", "Nothing")
    assert check("Refused, Late, Invented", "Sent")
