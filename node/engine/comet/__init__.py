"""CometBFT as the engine: many nodes that agree although a third of them lie or are down.

| file             | holds               | duty                                            |
|------------------|---------------------|-------------------------------------------------|
| `process.py`     | `run_comet`         | application, CometBFT and mirror as one node    |
| `tied.py`        |                     | CometBFT ends with the process that started it  |
| `abci_server.py` | `AbciServer`        | CometBFT's connections to the application       |
| `framing.py`     | `FrameBuffer`       | frames of the ABCI socket                       |
| `mirror.py`      | `BlockMirror`       | blocks and results where the doors read them    |
| `client.py`      | `CometEngineClient` | CometBFT's RPC: transactions in, blocks out     |
| `block_json.py`  |                     | CometBFT's JSON to protobuf                     |
| `state_sync.py`  | `SnapshotKeeper`    | snapshots of the state, given and taken         |
| `config.py`      | `CometSettings`     | the files CometBFT needs in a home              |
| `build.py`       | `build`             | build the pinned CometBFT                       |

The application is the one the embedded engine drives, through the same ABCI 2.0 calls. CometBFT
serves its own RPC on the usual port, so `curl`, CosmJS and light clients talk to the real thing;
the gRPC door reads the mirror. Source: DESIGN.md 3.3; `reference/chain.md` section 3; CometBFT
v0.39.4.
"""
