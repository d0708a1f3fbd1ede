"""Lineage: every checkpoint of every run, what it was made from and what it earned.

| file        | holds                                                               |
|-------------|---------------------------------------------------------------------|
| `pallet.py` | `LineagePallet`: storage, queries, capabilities                     |
| `types.py`  | events, the capability protocols other pallets take                 |
"""
