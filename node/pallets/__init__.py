"""What the chain can do: one folder a pallet (`README.md`, `pallet.py`, `types.py`, `errors.py`).

Tests are in `tests/pallets/<name>/`; `node/chain.py` wires pallets together.
"""
