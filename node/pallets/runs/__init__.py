"""Runs: what is trained, for which bounty, and who takes part.

| file        | holds                                                               |
|-------------|---------------------------------------------------------------------|
| `pallet.py` | `RunsPallet`: storage, calls, queries, capabilities                 |
| `spec.py`   | what a run specification may say                                    |
| `endpoint.py` | what an endpoint may look like                                    |
| `types.py`  | parameters, events, capability protocols                            |
| `errors.py` | refusals                                                            |
"""
