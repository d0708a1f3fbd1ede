"""The `descent` command.

| file           | duty                                                                 |
|----------------|----------------------------------------------------------------------|
| `main.py`      | entry point and the table of command groups, loaded on first use     |
| `context.py`   | `command` decorator: common options, home, node, keys, client        |
| `output.py`    | one document on stdout, people on stderr, exit codes                 |
| `messages.py`  | protobuf messages as documents                                       |
| `spec_file.py` | run specifications from TOML; defaults in `spec_default.toml`        |
| `keys.py`, `query.py`, `tx.py`, `run.py`, `node.py`, `genesis.py`, `status.py`: groups |
| `gov.py`, `grant.py`, `params.py`, `query_gov.py`, `query_stake.py`: more of tx, query |
| `tx_file.py`   | transactions built, signed and sent apart                            |
| `query_routes.py` | the other queries, as a table                                     |
| `exact.py`     | is this machine faithful, which kernels, how fast                    |
| `miner.py`, `validator.py`, `explain.py`, `devnet/`, `lineage`: more groups           |
| `sample.py`    | text written by a checkpoint, for `run sample`                       |
| `doctor.py`    | checks of the machine, a home and the chain, with advice             |
| `config.py`    | settings of a program: show, validate, template                      |
| `participant_settings.py` | what the operator of a miner or validator chooses         |
| `setting_options.py` | flags of a command made from a program's settings              |
| `commission_options.py` | an operator's, in a genesis and on a chain                 |
| `node_data.py`, `node_debug.py` | more of node: its folder, its state                 |
| `participant.py` | what `miner run` and `validator run` share                         |
"""

import proto  # noqa: F401  (cosmos.* importable before any module here asks for it)
