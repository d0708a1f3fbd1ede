"""Staking: operators, delegation, unbonding.

| file         | holds                                                       |
|--------------|-------------------------------------------------------------|
| `pallet.py`  | `StakingPallet`: storage, calls, hooks, capability          |
| `consensus_set.py` | `ConsensusSet`: follows stake for the engine            |
| `queries.py` | `StakingQueries`: what can be asked                         |
| `shares.py`  | arithmetic of shares and 18-decimal fractions               |
| `types.py`   | schema, parameters, events, the capability other pallets take |
| `errors.py`  | refusals                                                    |
"""
