"""The wire contract: `descent.*.v1` protobuf messages, queries and stored values.

Importing this package first puts the `cosmos.*` and `tendermint.*` modules that cosmpy ships on
`sys.path`, so one copy of those types is shared by the node, the doors and every client.

| folder                  | holds                                                          |
|-------------------------|----------------------------------------------------------------|
| `descent/<pallet>/v1`   | `.proto` sources with the stubs generated from them, committed |
| `generate.py`           | makes the stubs again (`make proto`)                           |
| `packing.py`            | `pack_any`: a message within a message                         |
"""

import sys
from importlib.util import find_spec
from pathlib import Path


def _share_cosmos_types() -> None:
    """Do what importing `cosmpy.protos` does, without loading cosmpy.

    Raises:
        ImportError: cosmpy is not installed.
    """
    cosmpy = find_spec("cosmpy")
    if cosmpy is None or not cosmpy.submodule_search_locations:
        raise ImportError("cosmpy is not installed: run `make` targets, which set .venv up")
    folder = str(Path(cosmpy.submodule_search_locations[0]) / "protos")
    if folder not in sys.path:
        sys.path.append(folder)


_share_cosmos_types()
