"""Feegrant: an account pays the fees of another.

| file            | holds                                                          |
|-----------------|----------------------------------------------------------------|
| `pallet.py`     | `FeegrantPallet`: grant, revoke, use by the ante, queries      |
| `allowances.py` | what each kind of allowance pays                               |
| `types.py`      | schema, events                                                 |
| `errors.py`     | refusals                                                       |
"""
