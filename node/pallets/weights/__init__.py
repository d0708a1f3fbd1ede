"""Weights: what validators found, the Yuma epoch, who is paid, what vests.

| file           | holds                                                            |
|----------------|------------------------------------------------------------------|
| `pallet.py`    | `WeightsPallet`: storage, calls, hooks, queries                  |
| `judgement.py` | what a judgement may say                                         |
| `epoch.py`     | pure arithmetic of an epoch: verdicts, Yuma, who earns how much  |
| `entries.py`   | records of an epoch                                              |
| `types.py`     | parameters, constants, events                                    |
| `errors.py`    | refusals                                                         |
"""
