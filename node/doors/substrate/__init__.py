"""The Substrate JSON-RPC door: methods and what they show.

| file               | holds              | duty                                                   |
|--------------------|--------------------|--------------------------------------------------------|
| `registry.py`      | `Registry`         | SCALE types by number                                  |
| `facade.py`        |                    | what clients expect of any chain: System, Balances...  |
| `entries.py`       | `Entry`            | storage entries: keys, values, read from our store     |
| `hashers.py`       |                    | hashes of storage keys                                 |
| `metadata.py`      | `Metadata`         | metadata V14 and V15, from the pallets' declarations   |
| `events.py`        | `EventBook`        | ABCI events of a block as `System.Events`              |
| `blocks.py`        | `Blocks`           | headers, hashes, extrinsics of a block                 |
| `chain_methods.py` | `ChainMethods`     | `chain_*`, `system_*`                                  |
| `state_methods.py` | `StateMethods`     | `state_*`: storage, metadata, runtime calls            |
| `author.py`        | `AuthorMethods`    | `author_*`, `payment_*`: submit, watch, fees           |
| `cosmos.py`        | `CosmosMethods`    | `descent_query`: any method of the Cosmos door         |
| `subscriptions.py` | `Session`, `Hub`   | what is told to clients after every block              |
| `ss58.py`          |                    | text of addresses                                      |
| `rpc.py`           | `Dispatcher`       | JSON-RPC as Substrate speaks it, without I/O           |
| `limits.py`        | `RateLimit`        | what one client may ask, what all may leave unread     |

A pallet is described nowhere here: everything comes from its declarations.
"""
