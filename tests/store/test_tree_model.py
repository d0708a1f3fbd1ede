"""The tree against its definition: a plain recursive function over the whole content."""

from hashlib import sha256
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from node.store.nodes import Node
from node.store.proofs import EMPTY_HASH, hash_inner, hash_leaf
from node.store.state import StateStore

KEYS = st.binary(max_size=3)
VALUES = st.binary(max_size=2)


def compute_root(leaves: dict[bytes, bytes], bit: int = 0) -> bytes:
    """Hash a content {key hash: value hash} as the docstring of proofs.py says."""
    if not leaves:
        return EMPTY_HASH
    if len(leaves) == 1:
        return hash_leaf(*next(iter(leaves.items())))
    sides: tuple[dict[bytes, bytes], dict[bytes, bytes]] = ({}, {})
    for key_hash, value_hash in leaves.items():
        sides[key_hash[bit >> 3] >> (7 - (bit & 7)) & 1][key_hash] = value_hash
    return hash_inner(compute_root(sides[0], bit + 1), compute_root(sides[1], bit + 1))


def compute_content_root(content: dict[bytes, bytes]) -> bytes:
    return compute_root({sha256(k).digest(): sha256(v).digest() for k, v in content.items()})


@settings(max_examples=60)
@given(
    blocks=st.lists(st.dictionaries(KEYS, st.none() | VALUES, max_size=60), min_size=1, max_size=6)
)
def test_root_is_a_function_of_content(
    blocks: list[dict[bytes, bytes | None]], tmp_path_factory
) -> None:
    path: Path = tmp_path_factory.mktemp("tree")
    content: dict[bytes, bytes] = {}
    with StateStore.open(path) as store:
        for version, changes in enumerate(blocks, start=1):
            store.stage(version, {"bank": changes})
            store.commit()
            for key, value in changes.items():
                if value is None:
                    content.pop(key, None)
                else:
                    content[key] = value
            assert store.store_roots()["bank"] == compute_content_root(content)


def test_root_is_a_function_of_content__thousands_in_batches(tmp_path: Path) -> None:
    content = {i.to_bytes(3, "big"): sha256(bytes([i & 255])).digest() for i in range(5000)}
    keys = sorted(content, key=lambda key: sha256(b"order" + key).digest())
    with StateStore.open(tmp_path / "a") as store:
        for version, at in enumerate(range(0, len(keys), 700), start=1):
            store.stage(version, {"bank": {key: content[key] for key in keys[at : at + 700]}})
            store.commit()
        for key in keys[::50]:
            version += 1
            content[key] = sha256(content[key]).digest()
            store.stage(version, {"bank": {key: content[key], keys[-1]: content[keys[-1]]}})
            store.commit()
        root = store.store_roots()["bank"]
        gone = keys[100:4900]
        store.stage(version + 1, {"bank": dict.fromkeys(gone)})
        store.commit()
        left = {key: value for key, value in content.items() if key not in set(gone)}
        assert store.store_roots()["bank"] == compute_content_root(left)
        store.stage(version + 2, {"bank": {key: content[key] for key in gone}})
        store.commit()
        assert store.store_roots()["bank"] == root == compute_content_root(content)


def test_patched_encoding_is_the_encoding(tmp_path: Path) -> None:
    """What a version wrote decodes and encodes to the same bytes, patched or not."""
    with StateStore.open(tmp_path) as store:
        for version in range(1, 30):
            store.stage(version, {"bank": {b"%d" % (version * i % 400): b"%d" % version
                                           for i in range(1, 40, version % 7 + 1)}})  # fmt: skip
            store.commit()
        tables = store._database.tables
        with store._database.begin() as txn:
            nodes = [value for _, value in txn.cursor(db=tables[b"nodes"])]
        assert len(nodes) > 400
        for data in nodes:
            node = Node(data, is_proved=False)
            node.unfold()
            assert node.is_proved
            assert node.encode() == data
            proved = Node(data, is_proved=True)
            proved.unfold()
            assert (proved.hashes, proved.children, proved.single) == (
                node.hashes,
                node.children,
                node.single,
            )
