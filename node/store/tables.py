"""Tables of the state and their keys.

| table    | key                                         | value                         |
|----------|---------------------------------------------|-------------------------------|
| values   | store id, key with zeros escaped, 00 00,    | value                         |
|          | inverted version, flag (0 value, 1 deleted) |                               |
| nodes    | version, node label (store id, depth, path) | `nodes.Node.encode`           |
| stale    | version, kind (n, v), chunk number          | what that version replaced    |
| versions | version                                     | app hash, roots of all stores |
| meta     | name                                        | latest, oldest, format, app   |

All integers are big endian, so keys sort by number. In `values` the newest version of a key comes
first; everything else only grows at its end. Source of the layout: DESIGN.md 3.2.
"""

from node.store.environment import Layout
from node.store.errors import KeyTooLong

KEY_SIZE_MAX = 480  # bytes of a key with its zero bytes escaped; LMDB stops at 511 in all
VERSION_MAX = (1 << 64) - 1

STORE_ID_SIZE = 2
VERSION_SIZE = 8
_SUFFIX_SIZE = VERSION_SIZE + 1  # inverted version and flag
KEY_END = b"\x00\x00"  # after an escaped key; sorts below everything that continues the key
LIVE, DELETED = b"\x00", b"\x01"


STATE_LAYOUT = Layout((b"values", b"nodes", b"stale", b"versions", b"meta"), b"descent-state-2")


def pack_version(version: int) -> bytes:
    """Encode a version so that it sorts by number."""
    return version.to_bytes(VERSION_SIZE, "big")


def pack_inverted(version: int) -> bytes:
    """Encode a version so that newer ones sort first."""
    return (VERSION_MAX - version).to_bytes(VERSION_SIZE, "big")


def escape_key(key: bytes) -> bytes:
    """Escape zero bytes, so that KEY_END can follow a key without disturbing the order."""
    return key.replace(b"\x00", b"\x00\xff")


def make_value_prefix(store_id: bytes, key: bytes) -> bytes:
    """Return what all versions of a key's value begin with.

    Raises:
        KeyTooLong: the key, escaped, is over KEY_SIZE_MAX bytes.
    """
    escaped = key.replace(b"\x00", b"\x00\xff")
    if len(escaped) > KEY_SIZE_MAX:
        raise KeyTooLong(f"a key of {len(escaped)} bytes (zeros escaped), at most {KEY_SIZE_MAX}")
    return store_id + escaped + KEY_END


def split_value_key(record_key: bytes) -> tuple[bytes, bytes, bytes, bool]:
    """Split a key of `values` into (prefix, key, inverted version, whether it is a value)."""
    prefix = record_key[:-_SUFFIX_SIZE]
    key = prefix[STORE_ID_SIZE : -len(KEY_END)].replace(b"\x00\xff", b"\x00")
    return prefix, key, record_key[-_SUFFIX_SIZE:-1], record_key[-1:] == LIVE
