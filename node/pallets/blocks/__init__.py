"""Blocks: hashes of the synthetic Substrate headers.

| file        | holds                                                       |
|-------------|-------------------------------------------------------------|
| `pallet.py` | `BlocksPallet`: storage and the capability other parts take |
"""
