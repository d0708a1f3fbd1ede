"""Beacon: a random value every block, from hash onions of the operators.

| file        | holds                                              |
|-------------|----------------------------------------------------|
| `pallet.py` | `BeaconPallet`: reveals, mixing, queries           |
| `types.py`  | events and the capability other pallets take       |
| `errors.py` | refusals of reveals                                |
"""
