"""Take the newest version of the state back, whole, in one transaction.

Everything a version wrote bears its number: tree nodes, values, the list of what it replaced, its
record. What it replaced is still there as long as the version before is kept.
"""

from typing import Any

from node.store.errors import VersionUnavailable
from node.store.tables import pack_inverted, pack_version


def remove_newest(txn: Any, tables: dict[bytes, Any]) -> int:
    """Remove the newest version; return the one that is newest now.

    It looks through every value: about a second a million.

    Raises:
        VersionUnavailable: the version before is not kept.
    """
    latest = int.from_bytes(txn.get(b"latest", db=tables[b"meta"]) or b"", "big")
    oldest = int.from_bytes(txn.get(b"oldest", db=tables[b"meta"]) or b"", "big")
    if latest - 1 < oldest:
        raise VersionUnavailable(
            f"version {latest - 1} is not kept here: only {oldest} to {latest} are"
        )
    version = pack_version(latest)
    for name in (b"nodes", b"stale", b"versions"):
        cursor = txn.cursor(db=tables[name])
        is_found = cursor.set_range(version)
        while is_found and cursor.key().startswith(version):
            is_found = cursor.delete()
    values, inverted = txn.cursor(db=tables[b"values"]), pack_inverted(latest)
    written = [key for key in values.iternext(values=False) if key[-9:-1] == inverted]
    for key in written:
        txn.delete(key, db=tables[b"values"])
    txn.put(b"latest", pack_version(latest - 1), db=tables[b"meta"])
    return latest - 1
