"""How clients come in: processes of their own that read committed state and pass on transactions.

| file              | holds           | duty                                                        |
|-------------------|-----------------|-------------------------------------------------------------|
| `jsonrpc.py`      | `Dispatcher`    | CometBFT's JSON-RPC dialect, without I/O                    |
| `event_query.py`  | `EventQuery`    | the query language of subscriptions and searches            |
| `comet_json.py`   |                 | CometBFT's JSON of blocks, results, events, validators      |

A door opens the node's LMDB read-only and hands transactions to the engine's control socket. Query
load never delays a block; a crashed door never stops the node.
"""
