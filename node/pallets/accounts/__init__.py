"""Accounts: numbers, sequences, public keys.

| file        | holds                                     |
|-------------|-------------------------------------------|
| `pallet.py` | `AccountsPallet`: storage, queries        |
| `types.py`  | parameters and the capability other parts take |
"""
