"""Where a chain starts: genesis files, their checks, and the devnet preset.

| file          | holds                  | duty                                                   |
|---------------|------------------------|--------------------------------------------------------|
| `builder.py`  | `GenesisBuilder`       | balances, operators, parameters to a genesis document  |
| `document.py` | `encode_document`      | canonical JSON, hash, files                            |
| `export.py`   | `export_home`          | a node's state as the genesis of a new chain           |
| `gentx.py`    | `build_gentx`          | what an operator signs to be in a genesis              |
| `check.py`    | `check_document`       | says what is wrong with a genesis in one sentence      |
| `node_home.py`| `init_node_home`       | the folder of a node that joins a chain                |
| `devnet.py`   | `write_node_homes`     | faucet, owner, validators, miners of a test mnemonic   |
"""

import proto  # noqa: F401  (puts cosmos.* and tendermint.* on the path, before any submodule)
