"""Substrate's transaction format, as far as every node must agree on it.

| file            | holds              | duty                                                     |
|-----------------|--------------------|----------------------------------------------------------|
| `scale.py`      | `Type`, `Reader`   | SCALE types: encode, and decode strictly                 |
| `messages.py`   | `MessageType`      | SCALE types of protobuf messages, from their descriptors |
| `accounts.py`   |                    | 32-byte view of every account                            |
| `calls.py`      | `CallTable`        | calls by (pallet, call) index, from declarations         |
| `extrinsic.py`  | `Extrinsic`        | extrinsics of version 4: decode, signing payload, eras   |
| `signatures.py` |                    | sr25519, ed25519 and ecdsa                               |
| `headers.py`    |                    | the synthetic header of a block and its hash             |
| `ante.py`       | `ExtrinsicAnte`    | fee, signature, sequence of an extrinsic                 |

What only clients see (metadata, storage keys, JSON-RPC) is in `node/doors/substrate`.
"""
