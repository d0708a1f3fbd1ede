"""The appchain: block execution, state, engines and the ways clients come in.

| folder     | holds                                                                  |
|------------|------------------------------------------------------------------------|
| `runtime/` | ordered pallets, transaction pipeline, events, gas, the ABCI object    |
| `pallets/` | one folder a pallet: what the chain can do                             |
| `store/`   | authenticated key-value state on LMDB                                  |
| `engine/`  | who orders blocks                                                      |
| `doors/`   | how clients come in                                                    |
| `chain.py` | the pallets in execution order, wired together                         |
| `upkeep/`  | what an operator does to the folder of a stopped node                  |
| `onion.py` | the hash onion an operator's node keeps for the beacon                 |
| `process.py` | a whole node: engine, this operator's beacon, doors beside it        |
| `settings.py` | what a program can be told by flag, environment and file            |
| `operation.py` | the settings of a node                                             |
| `monitor/` | metrics, whether a process lives and whether it is ready                |
| `logs.py`  | lines of a log, for people or as JSON                                  |

Nothing here imports torch, a miner, a validator or a chain client.
"""

import proto  # noqa: F401  (puts cosmos.* and tendermint.* on the path, before any submodule)
