"""A whole network on one machine: node, owner, miners, validators.

| module         | duty                                                             |
|----------------|------------------------------------------------------------------|
| `app.py`       | `descent devnet up, status, logs, down, reset`                   |
| `genesis.py`   | keys, genesis and spec file of a new home; wait for the chain    |
| `layout.py`    | folders, ports and process list of a devnet; `devnet.json`       |
| `processes.py` | start, watch and stop the processes                              |
| `view.py`      | one look at the chain: what the screen and `status` show         |
| `screen.py`    | the live screen, and plain lines where there is no terminal      |
| `watch.py`     | show it until it is stopped or a condition holds                 |
| `spread.py`    | folders of a devnet whose processes run apart                    |
| `until.py`     | `--until reward, round:N, height:N`                              |
"""
