"""The wire contract: `descent.*.v1` protobuf messages, queries and stored values.

Importing this package first puts the `cosmos.*` and `tendermint.*` modules that cosmpy ships on
`sys.path`, so one copy of those types is shared by the node, the doors and every client.

| folder                  | holds                                                          |
|-------------------------|----------------------------------------------------------------|
| `descent/<pallet>/v1`   | `.proto` sources with the stubs generated from them, committed |
| `generate.py`           | makes the stubs again (`make proto`)                           |
"""

import cosmpy.protos  # noqa: F401  (side effect: cosmos.*, tendermint.*, gogoproto.* importable)
