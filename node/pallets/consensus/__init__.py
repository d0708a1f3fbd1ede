"""Consensus: the engine's parameters, the chain id and the time of the last block.

| file        | holds                                                 |
|-------------|-------------------------------------------------------|
| `pallet.py` | `ConsensusPallet`: storage, queries, last block       |
"""
