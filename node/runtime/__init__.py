"""Block execution: pallets declared as data, run in snapshots that roll back whole.

| file             | holds            | duty                                                       |
|------------------|------------------|------------------------------------------------------------|
| `codecs.py`      | key, value codecs| order-preserving keys; protobuf and plain values           |
| `state.py`       | `Overlay`        | uncommitted writes over a reader, nested snapshots         |
| `storage.py`     | `Schema`, `Map`  | typed storage declared by a pallet                         |
| `params.py`      | `Params`         | bounded, frozen parameters stored as protobuf              |
| `gas.py`         | `GasMeter`       | what storage and work cost                                 |
| `context.py`     | `Context`        | what a pallet sees of the block and the transaction        |
| `errors.py`      | `ChainError`     | refusals with stable codes and the texts clients parse     |
| `events.py`      | `Event`          | frozen dataclasses that become ABCI events                 |
| `pallet.py`      | `Pallet`, `call` | declarations: calls, queries, hooks, genesis, invariants   |
| `runtime.py`     | `Runtime`        | routes messages and queries, hooks, genesis, invariants    |
| `tx.py`          | `DecodedTx`      | strict decoding of a transaction                           |
| `ante.py`        | `AnteHandler`    | fee, signature, sequence, limits                           |
| `amino.py`       |                  | what older and hardware wallets sign: Amino JSON           |
| `application.py` | `Application`    | ABCI 2.0 object over the store                             |
| `simulation.py`  | `encode_tx`      | what a simulation is asked and answers                     |
| `proposals.py`   | `ProposalRules`  | what a block may hold                                      |
| `extensions.py`  | `is_signed`      | vote extensions as they are signed                         |
| `executor.py`    | `TxExecutor`     | runs transactions in snapshots that roll back whole        |
| `signatures.py`  |                  | secp256k1 over SHA-256, low S only                         |
| `options.py`     | `NodeOptions`    | what an operator sets without changing what is computed    |
| `paging.py`      | `paginate`       | pages of a query answer                                    |
| `addresses.py`   |                  | bech32 and address derivation                              |
| `parsing.py`    |                  | addresses that a message names, or their refusal           |
| `times.py`       |                  | times and durations of messages, whatever they hold        |
| `coins.py`       |                  | amounts of a denomination                                  |
| `substrate/`     | `CallTable`      | extrinsics: the second format of transactions              |

Determinism: no float, clock, randomness, environment, file, network, thread, `hash()` or set order
in this package and in `node/pallets`; `tests/lints/test_determinism.py` holds it.
"""
