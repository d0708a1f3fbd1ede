"""Walk every record of an LMDB environment; exit 0 if all of them can be read.

Run as a script, in a process of its own: touching a page behind the end of a file that was cut
short kills the process (SIGBUS), and that must not be the node.

    python probe.py FOLDER TABLE...
"""

import sys

import lmdb


def walk(folder: str, tables: list[str]) -> None:
    """Read every key and value once."""
    with lmdb.open(folder, readonly=True, max_dbs=len(tables), create=False) as env:
        handles = [env.open_db(name.encode(), create=False) for name in tables]
        with env.begin(buffers=True) as txn:
            for handle in handles:
                for key, value in txn.cursor(db=handle):
                    bytes(key), bytes(value)


if __name__ == "__main__":
    walk(sys.argv[1], sys.argv[2:])
