"""How clients come in: processes of their own that read committed state, pass on transactions.

| file               | holds            | duty                                                     |
|--------------------|------------------|----------------------------------------------------------|
| `grpc_door.py`     | `serve`, `main`  | Cosmos gRPC: server, reflection, health                  |
| `grpc_services.py` | `Router`         | a method by its path: pallet query or service table      |
| `services.py`      | `build_router`   | the one table of methods that doors answer from          |
| `rest_door.py`     | `serve`, `main`  | Cosmos REST: HTTP server, page, OpenAPI                  |
| `rest/`            |                  | routes, JSON and OpenAPI of that door, from descriptors  |
| `cosmos_tx.py`     | `TxService`      | simulate, broadcast, look up transactions                |
| `cosmos_base.py`   | `CometService`   | node info, blocks, consensus set, reflection             |
| `reflection.py`    | `build_handlers` | gRPC reflection, v1 and v1alpha                          |
| `watch.py`         | `WatchService`   | several questions about one height, held until news      |
| `rpc_door.py`      | `serve`, `main`  | CometBFT RPC: HTTP and WebSocket server                  |
| `rpc_chain.py`     | `ChainRoutes`    | status, blocks, results, transactions, searches          |
| `rpc_tx.py`        | `TxRoutes`       | broadcast, mempool, ABCI queries                         |
| `rpc_events.py`    | `EventHub`       | subscriptions                                            |
| `rpc_errors.py`    | `JsonRpcError`   | the error of both JSON-RPC dialects                      |
| `jsonrpc.py`       | `Dispatcher`     | CometBFT's JSON-RPC dialect, without I/O                 |
| `event_query.py`   | `EventQuery`     | the query language of subscriptions and searches         |
| `tx_search.py`     | `find_txs`       | transactions and blocks by their events                  |
| `comet_json.py`    |                  | CometBFT's JSON of blocks, results, events, validators   |
| `tx_proofs.py`     |                  | proof that a transaction is in a block                   |
| `substrate_door.py`| `serve`, `main`  | Substrate JSON-RPC: HTTP and WebSocket server            |
| `substrate/`       |                  | metadata, storage view, extrinsics of that door          |
| `node_view.py`     | `NodeView`       | the node's home, read-only, and the control socket       |
| `snapshot.py`      | `Snapshot`       | committed state held still for one query                 |
| `limits.py`        | `GuardedProtocol` | what the doors over HTTP bear from one client           |
| `rate.py`          | `RateLimiter`    | requests a second of one client address                  |
| `sockets.py`       | `exchange`       | what the doors over HTTP and WebSocket have in common    |
| `meter.py`         | `RequestMeter`   | counts and times requests, for the node's monitor        |
| `process.py`       | `run_door`       | what every door process has in common                    |
| `supervisor.py`    | `DoorSupervisor` | start, restart and stop doors beside a node; free ports  |

Query load never delays a block; a crashed door never stops the node; more doors can be started.
"""
