"""Distribution: what validators earn, shared with those who delegated to them.

| file         | holds                                                        |
|--------------|--------------------------------------------------------------|
| `pallet.py`  | `DistributionPallet`: storage, calls, hooks, capability      |
| `rewards.py` | pure arithmetic: exact shares of rewards in integers         |
| `queries.py` | `DistributionQueries`: what can be asked                     |
| `types.py`   | schema, parameters, events, the capability other pallets take |
| `errors.py`  | refusals                                                     |
"""
