"""Who orders blocks, and how the application is driven.

| file                | holds            | duty                                             |
|---------------------|------------------|--------------------------------------------------|
| `embedded.py`       | `EmbeddedEngine` | one process orders blocks: handshake, step, loop |
| `process.py`        | `run_engine`     | engine, state and control socket in one loop     |
| `mempool.py`        | `Mempool`        | checked transactions that wait for a block       |
| `blockstore.py`     | `BlockStore`     | blocks, results, validators, tx index            |
| `validators.py`     | `ValidatorSet`   | the consensus set and its changes                |
| `hashing.py`        |                  | CometBFT's hashes and sign bytes                 |
| `genesis_doc.py`    | `GenesisDoc`     | the genesis file, in CometBFT's form             |
| `keys.py`           | `ValidatorKey`   | ed25519 key files, in CometBFT's form            |
| `control.py`        | `ControlClient`  | how other processes reach it, sync or async      |
| `control_server.py` | `ControlServer`  | the engine's side of the control socket          |
| `transition.py`     |                  | the state after a block, for both engines        |
| `comet`             | `run_comet`      | CometBFT as the engine                           |
| `errors.py`         | `EngineError`    | what can go wrong, for the operator              |

Both engines drive the same application object through the same ABCI 2.0 calls in the same order.
Source: DESIGN.md 3.3; CometBFT v0.39.4.
"""
