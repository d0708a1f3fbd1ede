"""Gov: who bonded stake decides about parameters, upgrades and common coins.

| file         | holds                                                          |
|--------------|----------------------------------------------------------------|
| `pallet.py`  | `GovPallet`: proposals, deposits, votes, decisions             |
| `queries.py` | `GovQueries`: what can be asked                                |
| `tally.py`   | pure arithmetic of a tally                                     |
| `types.py`   | schema, parameters, events                                     |
| `errors.py`  | refusals                                                       |
"""
