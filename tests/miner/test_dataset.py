"""A participant's dataset: from disk, from local text, from a peer by hash, or an error that says
which file differs.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from chain_client.blob.address import KIND_BLOB
from chain_client.blob.client import BlobClient
from chain_client.blob.server import BlobServer
from chain_client.blob.store import BlobStore
from exact.addresses import ADDRESS_FUNCTIONS, DatasetSource
from exact.data.corpus import collect_directory_files
from exact.data.errors import InvalidCorpus
from exact.data.pack import Dataset, build_dataset, open_dataset
from miner.dataset import obtain_dataset
from miner.errors import DatasetUnavailable

NUM_FILES = 12
NOBODY = "127.0.0.1:9"


def write_texts(folder: Path, changed: dict[str, str] | None = None) -> Path:
    """Write some hundred kilobytes of text; the same everywhere but for what is changed."""
    folder.mkdir(parents=True)
    texts = {
        f"chapter{i:02}.txt": f"line {i} of a text\n" * (400 + 97 * i) for i in range(NUM_FILES)
    }
    for name, text in {**texts, **(changed or {})}.items():
        (folder / name).write_text(text)
    return folder


@pytest.fixture
def theirs(tmp_path: Path) -> Dataset:
    """The run's dataset, at a peer."""
    files = collect_directory_files(write_texts(tmp_path / "their-text"))
    return build_dataset(files, tmp_path / "theirs")


@asynccontextmanager
async def serve(*sources: Any) -> AsyncIterator[str]:
    async with BlobServer(sources, "127.0.0.1:0") as server:
        yield f"127.0.0.1:{server.port}"


class Here:
    """What a participant has of its own: a data folder and a blob client."""

    def __init__(self, folder: Path) -> None:
        self.data = folder / "mine"
        self.blobs = BlobClient(BlobStore(folder / "blobs", ADDRESS_FUNCTIONS))

    async def obtain(self, root: bytes, text: Path | None, *endpoints: str) -> Dataset:
        return await obtain_dataset(root, self.data, text, self.blobs, endpoints)

    def count_fetched(self) -> int:
        folder = self.blobs.store.directory / "blob"
        return sum(path.is_file() for path in folder.rglob("*"))


@pytest.fixture
def here(tmp_path: Path) -> Here:
    return Here(tmp_path)


async def test_own_text(theirs: Dataset, here: Here, tmp_path: Path) -> None:
    """`--dataset DIR` with the same text needs nobody."""
    text = write_texts(tmp_path / "text")
    found = await here.obtain(theirs.root, text)
    assert found.root == theirs.root
    # and from then on not even the text
    assert (await here.obtain(theirs.root, tmp_path / "absent")).path == found.path


async def test_other_text__fetches_what_differs(
    theirs: Dataset, here: Here, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = write_texts(tmp_path / "text", {"chapter07.txt": "another text\n" * 100})
    async with serve(DatasetSource(theirs)) as endpoint:
        found = await here.obtain(theirs.root, text, NOBODY, endpoint)
    assert found.root == theirs.root
    assert found.train.tobytes() == theirs.train.tobytes()
    assert found.heldout.tobytes() == theirs.heldout.tobytes()
    num_chunks = len(theirs.manifest.train_chunks) + len(theirs.manifest.heldout_chunks)
    assert 1 <= here.count_fetched() < num_chunks
    assert "chapter07.txt differs" in capsys.readouterr().out
    assert open_dataset(here.data, theirs.root).root == theirs.root


async def test_other_text__peers_have_no_chunks(
    theirs: Dataset, here: Here, tmp_path: Path
) -> None:
    """The manifest is known, so the error can say which file differs."""

    class ManifestOnly(DatasetSource):
        def find(self, kind: int, address: bytes) -> memoryview | None:
            return None if kind == KIND_BLOB else super().find(kind, address)

    text = write_texts(tmp_path / "text", {"chapter07.txt": "another text\n" * 100})
    async with serve(ManifestOnly(theirs)) as endpoint:
        with pytest.raises(
            DatasetUnavailable, match=r"chapter07\.txt differs.*no peer could help.*no blob"
        ):
            await here.obtain(theirs.root, text, endpoint)


async def test_other_text__one_file_more(theirs: Dataset, here: Here, tmp_path: Path) -> None:
    text = write_texts(tmp_path / "text", {"aaa.txt": "not in the run\n"})
    async with serve(DatasetSource(theirs)) as endpoint:
        assert (await here.obtain(theirs.root, text, endpoint)).root == theirs.root


async def test_other_text__nobody_serves(theirs: Dataset, here: Here, tmp_path: Path) -> None:
    text = write_texts(tmp_path / "text", {"chapter07.txt": "another text\n"})
    with pytest.raises(DatasetUnavailable, match=r"nobody in the run serves it yet.*--dataset DIR"):
        await here.obtain(theirs.root, text)
    with pytest.raises(DatasetUnavailable, match=rf"no peer gave the manifest.*{NOBODY}"):
        await here.obtain(theirs.root, text, NOBODY)


async def test_other_text__peer_lies(theirs: Dataset, here: Here, tmp_path: Path) -> None:
    """A manifest of another dataset is refused; a peer behind it is asked."""
    other = build_dataset(
        collect_directory_files(write_texts(tmp_path / "other", {"chapter01.txt": "x\n" * 99})),
        tmp_path / "others",
    )

    class Liar(DatasetSource):
        def find(self, kind: int, address: bytes) -> memoryview | None:
            return memoryview(other.manifest.to_bytes())

    text = write_texts(tmp_path / "text", {"chapter07.txt": "another text\n"})
    async with serve(Liar(other)) as liar, serve(DatasetSource(theirs)) as honest:
        with pytest.raises(DatasetUnavailable, match=f"{liar}: the bytes have address"):
            await here.obtain(theirs.root, text, liar)
        assert (await here.obtain(theirs.root, text, liar, honest)).root == theirs.root


async def test_corrupt_pack_is_mended(theirs: Dataset, here: Here, tmp_path: Path) -> None:
    text = write_texts(tmp_path / "text")
    found = await here.obtain(theirs.root, text)
    path = found.path / "train.bin"
    data = path.read_bytes()
    path.write_bytes(data[:100] + b"\0" + data[101:])
    assert (await here.obtain(theirs.root, text)).root == theirs.root
    assert path.read_bytes() == data


async def test_invalid_directory(theirs: Dataset, here: Here, tmp_path: Path) -> None:
    with pytest.raises(InvalidCorpus, match="absent"):
        await here.obtain(theirs.root, tmp_path / "absent")
