"""Rounds: commitments, availability, settlement, and when each is due.

| file        | holds                                                               |
|-------------|---------------------------------------------------------------------|
| `pallet.py` | `RoundsPallet`: storage, calls, hooks, queries, capabilities        |
| `tally.py`  | pure arithmetic of quorums, bitmaps and the accepted set            |
| `entries.py`| lineage entries of what rounds make                                 |
| `types.py`  | constants, events, capability protocols                             |
| `errors.py` | refusals                                                            |
"""
