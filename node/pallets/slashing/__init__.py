"""Slashing: operators answer for their consensus nodes with their stake.

| file         | holds                                                          |
|--------------|----------------------------------------------------------------|
| `pallet.py`  | `SlashingPallet`: downtime, double signing, unjail, queries    |
| `types.py`   | schema, parameters, events                                     |
| `errors.py`  | refusals                                                       |
"""
