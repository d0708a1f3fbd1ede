"""Mint: the emission schedule, from which runs take what their work earned.

| file        | holds                                             |
|-------------|---------------------------------------------------|
| `pallet.py` | `MintPallet`: schedule, capability, queries       |
| `types.py`  | parameters, events, the capability runs take      |
| `errors.py` | refusals                                          |
"""
