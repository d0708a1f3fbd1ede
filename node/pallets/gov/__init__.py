"""Gov: who bonded stake decides about parameters, upgrades and common coins.

| file         | holds                                                          |
|--------------|----------------------------------------------------------------|
| `pallet.py`  | `GovPallet`: proposals, deposits, votes, decisions             |
| `legacy.py`  | `LegacyGov`: the same for clients of `v1beta1`                 |
| `queries.py` | `GovQueries`: what can be asked                                |
| `packed.py`  | what the messages of a proposal may hold                       |
| `tally.py`   | pure arithmetic of a tally                                     |
| `types.py`   | schema, parameters, events                                     |
| `errors.py`  | refusals                                                       |
"""
