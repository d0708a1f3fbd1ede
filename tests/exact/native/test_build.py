"""Compiling: what a person is told when it does not work."""

import sys
from pathlib import Path

import pytest

from exact.native import build


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build, "_list_folders", lambda: [tmp_path / "built"])
    monkeypatch.delenv("CC", raising=False)
    build._compute_key.cache_clear()


def write_compiler(folder: Path, text: str) -> tuple[str, ...]:
    script = folder / "compiler.py"
    script.write_text(text)
    return (sys.executable, str(script))


def test_failing_compiler_is_quoted(tmp_path: Path) -> None:
    lines = "\\n".join(f"line {i}" for i in range(40))
    compiler = write_compiler(
        tmp_path,
        "import sys\nif '--version' in sys.argv: sys.exit(0)\n"
        f"print('{lines}\\nfatal: no such instruction', file=sys.stderr)\nsys.exit(3)\n",
    )
    with pytest.raises(build.BuildFailed) as caught:
        build.ensure_built(compiler=compiler)
    text = str(caught.value)
    assert "failed with code 3" in text
    assert text.endswith("line 39\nfatal: no such instruction")
    assert "line 5\n" not in text


def test_missing_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build.shutil, "which", lambda name: None)
    monkeypatch.setattr(build.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(build.BuildFailed, match="no C compiler"):
        build.find_compiler()
    monkeypatch.setenv("CC", "nocc -O9")
    with pytest.raises(build.BuildFailed, match="no compiler 'nocc'"):
        build.find_compiler()


def test_zig_compiles_where_nothing_else_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build.shutil, "which", lambda name: None)
    monkeypatch.setattr(build.importlib.util, "find_spec", lambda name: object())
    words = build.find_compiler()
    assert words[:4] == (sys.executable, "-m", "ziglang", "cc")
    # For every processor, not for this one.
    assert words[4:6] == ("-target", f"{build.get_machine()}-linux-gnu.2.17")


def test_built_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build, "list_paths", lambda _: {"portable": ()})
    monkeypatch.setattr(build, "compile_library", lambda *_: _make_file(tmp_path / "new"))
    first = build.ensure_built(compiler=("cc",))
    monkeypatch.setattr(build, "compile_library", lambda *_: pytest.fail("compiled twice"))
    assert build.ensure_built(compiler=("cc",)) == first
    assert first.parent == tmp_path / "built"


def _make_file(path: Path) -> Path:
    path.write_bytes(b"library")
    return path
