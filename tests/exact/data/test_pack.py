"""Datasets on disk: packing, opening, damage, rebuilding from a peer."""

import json
import multiprocessing
import os
from pathlib import Path

import numpy as np
import pytest

from exact.data import pack as pack_module
from exact.data.corpus import (
    HELDOUT,
    TRAIN,
    SourceFile,
    choose_splits,
    collect_directory_files,
    collect_stdlib_files,
)
from exact.data.errors import (
    ChunkUnavailable,
    DatasetCorrupt,
    DatasetMismatch,
    DatasetMissing,
    DatasetUnwritable,
    InvalidCorpus,
    InvalidManifest,
)
from exact.data.manifest import CHUNK_BYTES, ensure_same_dataset, parse_manifest
from exact.data.pack import Dataset, build_dataset, fetch_dataset, open_dataset

GOLDEN_ROOT = "82eeb0ec4099c17dcbc9a7eb16e2574b4dad0170650762eb78ad7b2fd8179b69"


def write_corpus(
    folder: Path, num_files: int = 40, changed: dict[str, bytes] | None = None
) -> Path:
    """Write files of 1 to 20 kB of text that is the same on every machine."""
    for index in range(num_files):
        path = folder / f"part{index % 3}" / f"file{index:02}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"line %d of a text\n" % index * (50 + 25 * index))
    for name, data in (changed or {}).items():
        (folder / name).write_bytes(data)
    return folder


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    files = collect_directory_files(write_corpus(tmp_path / "text"))
    return build_dataset(files, tmp_path / "packs")


def test_streams_are_the_files_in_order(dataset: Dataset, tmp_path: Path) -> None:
    for split in (TRAIN, HELDOUT):
        files = [file for file in dataset.manifest.files if file.split == split]
        assert files
        joined = b"".join((tmp_path / "text" / file.path).read_bytes() for file in files)
        assert dataset.get_stream(split).tobytes() == joined
    assert [f.path for f in dataset.manifest.files] == sorted(
        f.path for f in dataset.manifest.files
    )
    assert len(dataset.manifest.train_chunks) > 2


def test_golden_root(dataset: Dataset) -> None:
    assert dataset.root.hex() == GOLDEN_ROOT
    assert dataset.path.name == GOLDEN_ROOT


def test_root_changes_with_names_and_splits_and_bytes(tmp_path: Path, dataset: Dataset) -> None:
    renamed = write_corpus(tmp_path / "renamed")
    (renamed / "part0/file00.txt").rename(renamed / "part0/file99.txt")
    changed = write_corpus(tmp_path / "changed", changed={"part1/file07.txt": b"x"})
    roots = {
        build_dataset(collect_directory_files(folder), tmp_path / "packs").root
        for folder in (tmp_path / "text", renamed, changed)
    }
    assert len(roots) == 3
    assert dataset.root in roots


def test_packing_twice_is_opening(dataset: Dataset, tmp_path: Path) -> None:
    before = (dataset.path / "train.bin").stat().st_mtime_ns
    again = build_dataset(collect_directory_files(tmp_path / "text"), tmp_path / "packs")
    assert again.root == dataset.root
    assert (dataset.path / "train.bin").stat().st_mtime_ns == before
    assert sorted(p.name for p in (tmp_path / "packs").iterdir()) == [".lock", dataset.root.hex()]


def _build(text: Path, packs: Path) -> None:
    build_dataset(collect_directory_files(text), packs)


def test_processes_that_pack_at_once_take_turns(tmp_path: Path) -> None:
    text, packs = write_corpus(tmp_path / "text"), tmp_path / "packs"
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=_build, args=(text, packs)) for _ in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
        assert worker.exitcode == 0
    assert len(list(packs.iterdir())) == 2
    open_dataset(packs, bytes.fromhex(GOLDEN_ROOT))


def test_remains_of_a_killed_process_are_removed(tmp_path: Path) -> None:
    packs = tmp_path / "packs"
    (packs / ".partial-dead").mkdir(parents=True)
    (packs / ".partial-dead" / "train.bin").write_bytes(b"half")
    _build(write_corpus(tmp_path / "text"), packs)
    assert not (packs / ".partial-dead").exists()


def test_standard_library(tmp_path: Path) -> None:
    files = collect_stdlib_files()
    paths = {file.path for file in files}
    assert "json/decoder.py" in paths
    assert not any("site-packages" in path or path.startswith("test/") for path in paths)
    assert not any("_sysconfigdata" in path for path in paths)
    assert len(collect_stdlib_files(include_tests=True)) >= len(files)
    dataset = build_dataset(files, tmp_path)
    assert dataset.train.size > 5_000_000
    assert 0.01 < dataset.heldout.size / dataset.train.size < 0.3


@pytest.mark.parametrize("num_files", [2, 3, 10, 1000])
def test_both_splits_have_files(num_files: int) -> None:
    splits = choose_splits([f"file{i}" for i in range(num_files)])
    counts = [list(splits.values()).count(split) for split in (TRAIN, HELDOUT)]
    assert sum(counts) == num_files
    assert min(counts) >= 1
    if num_files == 1000:
        assert 30 <= counts[1] <= 70


def test_split_of_a_file_does_not_depend_on_the_others() -> None:
    many = choose_splits([f"file{i}" for i in range(1000)])
    more = choose_splits([f"file{i}" for i in range(2000)])
    assert all(more[path] == split for path, split in many.items())


# ----------------------------------------------------------------------------------- bad corpora
def test_invalid_directory(tmp_path: Path) -> None:
    with pytest.raises(InvalidCorpus, match="not a directory"):
        collect_directory_files(tmp_path / "none")
    (tmp_path / "a.txt").write_text("alone")
    (tmp_path / ".hidden").write_text("x")
    (tmp_path / "empty.txt").write_text("")
    with pytest.raises(InvalidCorpus, match="1 text files; two are needed"):
        collect_directory_files(tmp_path)


@pytest.mark.parametrize(("data", "message"), [(b"ok \xff", "UTF-8"), (b"a\0b", "zero byte")])
def test_invalid_text(tmp_path: Path, data: bytes, message: str) -> None:
    write_corpus(tmp_path, 3, {"image.png": data})
    with pytest.raises(InvalidCorpus, match=rf"image\.png.*{message}"):
        collect_directory_files(tmp_path)


def test_invalid_file_vanished(tmp_path: Path) -> None:
    files = collect_directory_files(write_corpus(tmp_path / "text"))
    files[3].location.unlink()
    with pytest.raises(InvalidCorpus, match=r"cannot read .*file09"):
        build_dataset(files, tmp_path / "packs")
    assert [p.name for p in (tmp_path / "packs").iterdir()] == [".lock"]


def test_invalid_single_file(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("text")
    with pytest.raises(InvalidCorpus, match="1 files"):
        build_dataset([SourceFile("a", tmp_path / "a")], tmp_path / "packs")


# --------------------------------------------------------------------------------------- damage
def test_missing_dataset(tmp_path: Path) -> None:
    with pytest.raises(DatasetMissing, match="no dataset 0101"):
        open_dataset(tmp_path, b"\1" * 32)


def test_corrupt_chunk_is_named(dataset: Dataset) -> None:
    with (dataset.path / "train.bin").open("r+b") as stream:
        stream.seek(CHUNK_BYTES + 5)
        stream.write(b"\xff")
    with pytest.raises(DatasetCorrupt, match=rf"train.bin: chunk 1 \(bytes {CHUNK_BYTES} ff"):
        open_dataset(dataset.path.parent, dataset.root)


@pytest.mark.parametrize("name", ["train.bin", "heldout.bin"])
def test_truncated_stream_is_named(dataset: Dataset, name: str) -> None:
    size = (dataset.path / name).stat().st_size
    os.truncate(dataset.path / name, size - 1)
    with pytest.raises(DatasetCorrupt, match=f"{name} has {size - 1} bytes, not {size}"):
        open_dataset(dataset.path.parent, dataset.root)
    (dataset.path / name).unlink()
    with pytest.raises(DatasetCorrupt, match=f"{name}: No such file"):
        open_dataset(dataset.path.parent, dataset.root)


def test_corrupt_manifest_is_named(dataset: Dataset, tmp_path: Path) -> None:
    manifest = dataset.path / "manifest.json"
    data = manifest.read_bytes()
    for bad in (data[:-1], b"", data.replace(b"file01", b"file0!")):
        manifest.write_bytes(bad)
        with pytest.raises(DatasetCorrupt, match=r"manifest\.json"):
            open_dataset(dataset.path.parent, dataset.root)
    manifest.unlink()
    with pytest.raises(DatasetCorrupt, match=r"manifest\.json: No such file"):
        open_dataset(dataset.path.parent, dataset.root)


def test_corrupt_pack_is_packed_again(dataset: Dataset, tmp_path: Path) -> None:
    os.truncate(dataset.path / "train.bin", 10)
    again = build_dataset(collect_directory_files(tmp_path / "text"), tmp_path / "packs")
    assert again.root == dataset.root
    assert open_dataset(tmp_path / "packs", dataset.root).train.size > 10


def test_full_disk(dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pack_module, "_sync", fail)
    with pytest.raises(DatasetUnwritable, match="No space left on device; make room"):
        build_dataset(collect_directory_files(tmp_path / "text"), tmp_path / "other")
    monkeypatch.undo()
    build_dataset(collect_directory_files(tmp_path / "text"), tmp_path / "other")


def test_unwritable_directory(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    files = collect_directory_files(write_corpus(tmp_path / "text"))
    with pytest.raises(DatasetUnwritable, match="cannot write"):
        build_dataset(files, tmp_path / "file")


# ---------------------------------------------------------------------------------------- manifest
def test_manifest_round_trips(dataset: Dataset) -> None:
    data = dataset.manifest.to_bytes()
    assert parse_manifest(data, expect_root=dataset.root) == dataset.manifest
    with pytest.raises(InvalidManifest, match="not 0000"):
        parse_manifest(data, expect_root=bytes(32))


def change(data: bytes, path: list[str | int], value: object) -> bytes:
    document = json.loads(data)
    target = document
    for key in path[:-1]:
        target = target[key]
    target[path[-1]] = value
    return json.dumps(document, sort_keys=True, separators=(",", ":")).encode()


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (["version"], 2, "version 2"),
        (["chunk_bytes"], 1, "chunks of 1"),
        (["extra"], 1, "does not have the fields"),
        (["files"], {}, "files is not a list"),
        (["files", 0], ["a", 1, "0" * 64], "not \\[path, size"),
        (["files", 0, 0], "../etc/passwd", "bad file path"),
        (["files", 0, 0], "/etc/passwd", "bad file path"),
        (["files", 0, 0], "\ud800", "bad file path"),
        (["files", 0, 0], "z", "out of order"),
        (["files", 0, 1], 0, "bad size"),
        (["files", 0, 1], True, "bad size"),
        (["files", 0, 1], 10**18, "bad size"),
        (["files", 0, 1], 10**9, "chunks for"),
        (["files", 0, 2], "xyz", "64 hexadecimal"),
        (["files", 0, 2], "AB" * 32, "canonical"),
        (["files", 0, 3], "test", "bad split"),
        (["files"], [], "stream has 0 bytes"),
        (["train_chunks"], "x", "train_chunks is not a list"),
        (["train_chunks"], [], "0 train chunks"),
        (["heldout_chunks", 0], 5, "64 hexadecimal"),
    ],
)
def test_invalid_manifest(
    dataset: Dataset, path: list[str | int], value: object, message: str
) -> None:
    with pytest.raises(InvalidManifest, match=message):
        parse_manifest(change(dataset.manifest.to_bytes(), path, value))


@pytest.mark.parametrize("data", [b"", b"[]", b"\xff", b"[" * 200_000, b"{}", b"null"])
def test_invalid_manifest__not_a_document(data: bytes) -> None:
    with pytest.raises(InvalidManifest):
        parse_manifest(data)


def test_invalid_manifest__second_way_to_write_it(dataset: Dataset) -> None:
    data = dataset.manifest.to_bytes()
    for other in (data + b"\n", b" " + data, json.dumps(json.loads(data)).encode()):
        with pytest.raises(InvalidManifest, match="canonical"):
            parse_manifest(other)


def test_mismatch_names_the_file(dataset: Dataset, tmp_path: Path) -> None:
    def build(name: str, changed: dict[str, bytes]) -> Dataset:
        folder = write_corpus(tmp_path / name, changed=changed)
        return build_dataset(collect_directory_files(folder), tmp_path / "packs")

    ensure_same_dataset(dataset.manifest, dataset.root)
    changed = build("one", {"part1/file07.txt": b"other", "part2/file08.txt": b"other"})
    with pytest.raises(
        DatasetMismatch, match=r"part1/file07\.txt differs .*5 bytes.*1 more files.*--dataset DIR"
    ):
        ensure_same_dataset(changed.manifest, dataset.root, dataset.manifest)
    extra = build("two", {"aaa.txt": b"new"})
    with pytest.raises(DatasetMismatch, match=r"aaa\.txt is not part of the run"):
        ensure_same_dataset(extra.manifest, dataset.root, dataset.manifest)
    with pytest.raises(DatasetMismatch, match=r"aaa\.txt is missing here"):
        ensure_same_dataset(dataset.manifest, extra.root, extra.manifest)
    with pytest.raises(DatasetMismatch, match="no peer gave"):
        ensure_same_dataset(dataset.manifest, extra.root)
    with pytest.raises(InvalidManifest):
        ensure_same_dataset(dataset.manifest, bytes(32), extra.manifest)


# -------------------------------------------------------------------------------------------- fetch
class Peer:
    """Serves the chunks of a dataset and counts them; fails from chunk `fail_at` on."""

    def __init__(self, dataset: Dataset, fail_at: int = 1 << 30) -> None:
        self.dataset, self.fail_at, self.num_served = dataset, fail_at, 0

    def fetch(self, chunk: bytes) -> bytes:
        if self.num_served >= self.fail_at:
            raise ConnectionError("the peer is gone")
        self.num_served += 1
        return self.dataset.read_chunk(chunk)


def test_fetch_from_nothing(dataset: Dataset, tmp_path: Path) -> None:
    peer = Peer(dataset)
    manifest = parse_manifest(dataset.manifest.to_bytes(), expect_root=dataset.root)
    fetched = fetch_dataset(dataset.root, tmp_path / "mine", manifest, peer.fetch)
    assert np.array_equal(fetched.train, dataset.train)
    assert np.array_equal(fetched.heldout, dataset.heldout)
    assert peer.num_served == len(manifest.train_chunks) + len(manifest.heldout_chunks)
    fetch_dataset(dataset.root, tmp_path / "mine", manifest, peer.fetch)
    assert peer.num_served == len(manifest.train_chunks) + len(manifest.heldout_chunks)


def test_fetch_goes_on_where_it_was(dataset: Dataset, tmp_path: Path) -> None:
    failing = Peer(dataset, fail_at=3)
    with pytest.raises(ChunkUnavailable, match="the peer is gone"):
        fetch_dataset(dataset.root, tmp_path / "mine", dataset.manifest, failing.fetch)
    with pytest.raises(DatasetMissing):
        open_dataset(tmp_path / "mine", dataset.root)
    peer = Peer(dataset)
    fetch_dataset(dataset.root, tmp_path / "mine", dataset.manifest, peer.fetch)
    num_chunks = len(dataset.manifest.train_chunks) + len(dataset.manifest.heldout_chunks)
    assert peer.num_served == num_chunks - 3


def test_fetch_takes_shared_files_from_here(dataset: Dataset, tmp_path: Path) -> None:
    folder = write_corpus(tmp_path / "near", changed={"part1/file07.txt": b"another text"})
    mine = tmp_path / "mine"
    local = build_dataset(collect_directory_files(folder), mine)
    peer = Peer(dataset)
    fetched = fetch_dataset(dataset.root, mine, dataset.manifest, peer.fetch, local)
    assert np.array_equal(fetched.train, dataset.train)
    assert 1 <= peer.num_served <= 2


def test_fetch_repairs_a_damaged_pack(dataset: Dataset, tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    fetched = fetch_dataset(dataset.root, mine, dataset.manifest, Peer(dataset).fetch)
    with (fetched.path / "train.bin").open("r+b") as stream:
        stream.write(b"\xff" * 10)
    (mine / f".fetch-{dataset.root.hex()}").mkdir()
    (mine / f".fetch-{dataset.root.hex()}" / "old").write_text("in the way")
    peer = Peer(dataset)
    fetch_dataset(dataset.root, mine, dataset.manifest, peer.fetch)
    assert peer.num_served == 1
    open_dataset(mine, dataset.root)


@pytest.mark.parametrize(
    ("data", "message"),
    [(b"", "gave 0 bytes"), (bytes(CHUNK_BYTES), "other bytes for train chunk")],
)
def test_fetch_refuses_wrong_chunks(
    dataset: Dataset, tmp_path: Path, data: bytes, message: str
) -> None:
    with pytest.raises(ChunkUnavailable, match=message):
        fetch_dataset(dataset.root, tmp_path / "mine", dataset.manifest, lambda _: data)


def test_fetch_refuses_another_manifest(dataset: Dataset, tmp_path: Path) -> None:
    with pytest.raises(InvalidManifest, match="not 0000"):
        fetch_dataset(bytes(32), tmp_path, dataset.manifest, Peer(dataset).fetch)


def test_read_chunk(dataset: Dataset) -> None:
    chunk = dataset.manifest.train_chunks[1]
    assert dataset.read_chunk(chunk) == dataset.train[CHUNK_BYTES : 2 * CHUNK_BYTES].tobytes()
    with pytest.raises(DatasetMissing, match="no chunk 0000"):
        dataset.read_chunk(bytes(32))
