"""Bank: balances and supply.

| file        | holds                                                       |
|-------------|-------------------------------------------------------------|
| `pallet.py` | `BankPallet`: storage, calls, queries, capabilities         |
| `types.py`  | parameters, events, the capability protocols other pallets take |
| `errors.py` | refusals                                                    |
"""
