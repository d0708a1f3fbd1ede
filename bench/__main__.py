"""List and run the benches: `python -m bench [--list] [name...]`.

Each prints one JSON document: name, seconds, the machine, and what the bench measured. A bench runs
in a process of its own, so that its memory and threads are its own. All run without names, except
those that need a device this machine may not have.
"""

import argparse
import ast
import json
import subprocess
import sys
import time
from pathlib import Path

from bench.machine import describe_machine

FOLDER = Path(__file__).parent
NEEDS_DEVICE = {"cuda_check"}


def list_benches() -> dict[str, str]:
    """List the benches with the first line of their docstrings: modules with a main guard."""
    found = {}
    for path in sorted(FOLDER.glob("*.py")):
        text = path.read_text()
        if not path.name.startswith("_") and "\nif __name__ ==" in text:
            docstring = ast.get_docstring(ast.parse(text)) or ""
            found[path.stem] = docstring.split("\n")[0]
    return found


def run_bench(name: str) -> bool:
    """Run one bench and print its document; False if it failed, with its words on stderr."""
    started = time.monotonic()
    machine = describe_machine()
    command = [sys.executable, "-m", f"bench.{name}"]
    done = subprocess.run(command, cwd=FOLDER.parent, stdout=subprocess.PIPE, text=True)
    document = {
        "bench": name,
        "seconds": round(time.monotonic() - started, 1),
        "machine": machine,
        "result": parse_result(done.stdout) if done.returncode == 0 else None,
        "exit_code": done.returncode,
    }
    print(json.dumps(document, indent=1), flush=True)
    return done.returncode == 0


def parse_result(text: str) -> object:
    """Parse what a bench printed: one JSON document, or one a line."""
    try:
        return json.loads(text)
    except ValueError:
        return [json.loads(line) for line in text.splitlines() if line.strip()]


def main() -> int:
    """List or run; exit 0 if all went well, 1 if one failed, 2 for an unknown name."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__.split("\n")[0])
    parser.add_argument("names", nargs="*", help="benches to run; all without names")
    parser.add_argument("--list", action="store_true", help="say which there are")
    options = parser.parse_args()
    benches = list_benches()
    if options.list:
        for name, what in benches.items():
            print(f"{name:16} {what}")
        return 0
    unknown = [name for name in options.names if name not in benches]
    if unknown:
        parser.error(f"no bench {', '.join(unknown)}; there are {', '.join(benches)}")
    names = options.names or [name for name in benches if name not in NEEDS_DEVICE]
    failed = [name for name in names if not run_bench(name)]
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
