"""Judge the miners of a run and set weights.

| module            | duty                                                                        |
|-------------------|------------------------------------------------------------------------------|
| `availability.py` | fetch what was committed, keep it, say on chain who served                  |
| `evaluate.py`     | loss with and without each payload, in exact integers                       |
| `audit.py`        | execute a beacon-chosen interval of a miner's round again, bit for bit      |
| `judge.py`        | all of that for one round: verdicts with evidence, weights                  |
| `validator.py`    | the validator process: attest, settle, judge, commit, reveal                |
| `evidence.py`     | the evidence document and its canonical bytes                               |

Two honest validators find the same numbers to the last bit, so a verdict can be checked by anyone
(`descent explain --recompute`).
"""
