"""Train rounds of a run, commit the result on chain, serve it.

| module            | duty                                                                       |
|-------------------|----------------------------------------------------------------------------|
| `setup.py`        | a run's spec turned into program, codec, data: what every party shares      |
| `work.py`         | the work of one round as pure functions: train, replay, payload, next theta |
| `follower.py`     | follow a run on chain: checkpoints, payloads, peers                         |
| `storage.py`      | what a participant keeps on disk, and for how long                          |
| `miner.py`        | the miner process: round after round                                       |
| `metrics.py`      | what a participant counts and times                                        |
| `own_seat.py`     | what the chain says of one's own seat, for metrics                          |
| `dataset.py`      | the corpus on disk, or rebuilt from a peer                                  |
| `errors.py`       | why a participant stops                                                     |
| `attackers.py`    | miners that cheat, for devnets                                             |

A validator executes the same work again, so `validator` imports this package. Without torch the
numpy backend does all of it, slowly.
"""
