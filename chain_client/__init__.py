"""One client of the chain, used by the command line, the miner and the validator.

| file             | what                  | duty                                                |
|------------------|-----------------------|-----------------------------------------------------|
| `client.py`      | `ChainClient`         | asyncio shell: queries, `submit`, `follow`          |
| `sync_client.py` | `SyncChainClient`     | the same calls for scripts and notebooks            |
| `core.py`        | `ClientCore`          | operations as generators of effects, without I/O    |
| `reads.py`       | `ReadOperations`      | the typed queries, one generator each               |
| `watch.py`       | `look`, `Look`        | several queries about one height, held until news   |
| `tx.py`          | `build_tx`, ...       | transaction bytes, fees, results, sequence numbers  |
| `effects.py`     | `Call`, ...           | what an operation may ask of the outside            |
| `transport.py`   | `GrpcTransport`, ...  | Cosmos gRPC, asyncio and blocking                   |
| `failover.py`    | `FailoverTransport`, ... | several nodes: the next is asked when one is lost |
| `substrate_transport.py` | `SubstrateTransport`, ... | the same over the Substrate door    |
| `mock.py`        | `MockTransport`, ...  | answers from functions and a clock, for tests       |
| `keys.py`        | `Key`, `Keyring`      | secp256k1 keys in files of mode 0600                |
| `os_keyring.py`  | `save_secret`, ...    | secrets in the operating system's keyring           |
| `armor.py`       | `armor_secret`, ...   | keys as text, as Cosmos wallets write them          |
| `suri.py`        | `derive_suri`         | secrets as Substrate tools write them               |
| `mnemonic.py`    | `derive_secret`, ...  | BIP-39 words, BIP-32 at m/44'/118'/index'/0/0       |
| `address.py`     | `encode_address`, ... | bech32 addresses                                    |
| `amounts.py`     | `parse_amount`, ...   | `5DSC` and `5000000udsc`                            |
| `durable.py`     | `sync_path`           | files that outlive a power cut                      |
| `state_proofs.py` | `verify_read_proof`, ... | what a node says of its state, against a block |
| `errors.py`      | `ChainClientError`    | the tree of refusals                                |
| `blob/`          | `BlobStore`, ...      | payloads and states between participants            |

Two backends: "cosmos" is protobuf over gRPC, "substrate" the same over JSON-RPC. Importing this
package loads neither grpc nor cosmpy.
"""

import proto  # noqa: F401  (cosmos.* importable before any module here asks for it)
