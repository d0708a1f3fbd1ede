"""What an operator does to the folder of a node, mostly while the node is stopped.

| file          | holds               | duty                                                   |
|---------------|---------------------|--------------------------------------------------------|
| `home.py`     | `open_stopped_home` | the folder's stores, for this process alone; disk used |
| `rollback.py` | `rollback_home`     | one block back, application and engine                 |
| `prune.py`    | `prune_home`        | forget old heights, give the room back                 |
| `archive.py`  | `restore_snapshot`  | snapshots made, listed, restored                       |
| `diff.py`     | `compare_homes`     | the first key two states differ in, in words           |

Every change is one transaction or one rename, and doing it again after a kill finishes it.
"""
