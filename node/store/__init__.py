"""Authenticated, versioned key-value state on LMDB.

| file             | holds                          | duty                                        |
|------------------|--------------------------------|---------------------------------------------|
| `state.py`       | `StateStore`                   | stage a block's changes and commit them     |
| `view.py`        | `StateView`, `VersionRecord`   | read one version: values, iteration, proofs |
| `tree.py`        | `TreeUpdate`, `prove_place`    | Jellyfish Merkle tree, batched updates      |
| `nodes.py`       | `Node`                         | one node of that tree, as stored            |
| `proofs.py`      | `Proof`, `ProofError`          | hash rules and proof checking, without LMDB |
| `snapshots.py`   | `SnapshotImport`               | a whole version in chunks, for other nodes  |
| `prune.py`       | `prune_versions`               | forget old versions a bit at a time         |
| `rollback.py`    | `remove_newest`                | take the newest version back                |
| `compact.py`     | `compact_folder`               | give freed room back to the disk            |
| `tables.py`      | `STATE_LAYOUT`, key layouts    | tables of the state                         |
| `probe.py`       | a script                       | whether all records of a file can be read   |
| `environment.py` | `Database`, `open_database`    | LMDB: opening, sharing, errors              |
| `errors.py`      | `StoreError` and below         | what can go wrong, for the operator         |

Source: DESIGN.md 3.2; Jellyfish Merkle tree (Gao, Hu, Wu, 2021); RFC 6962; ICS-23.
Names are imported from their files, so that `proofs.py` stays importable without LMDB.
"""
