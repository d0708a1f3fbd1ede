"""Staking: operators, delegation, redelegation, unbonding, the consensus set.

| file         | holds                                                       |
|--------------|-------------------------------------------------------------|
| `pallet.py`  | `StakingPallet`: calls, hooks, genesis, invariants          |
| `consensus_set.py` | `ConsensusSet`: who orders blocks, by stake           |
| `ledger.py`  | `StakingLedger`: shares, unbonding, redelegation, slashes   |
| `queries.py` | `StakingQueries`: what can be asked                         |
| `shares.py`  | arithmetic of shares and 18-decimal fractions               |
| `types.py`   | schema, parameters, events, the capability other pallets take |
| `errors.py`  | refusals                                                    |
"""
