"""Upgrade: a planned change of the program at a height.

| file         | holds                                                          |
|--------------|----------------------------------------------------------------|
| `pallet.py`  | `UpgradePallet`: plan, halt, migrations, queries               |
| `types.py`   | schema, events                                                 |
| `errors.py`  | refusals                                                       |
"""
