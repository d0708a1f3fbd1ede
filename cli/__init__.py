"""The `descent` command.

| file           | duty                                                                 |
|----------------|----------------------------------------------------------------------|
| `main.py`      | entry point and the table of command groups, loaded on first use     |
| `context.py`   | `command` decorator: common options, home, node, keys, client        |
| `output.py`    | one document on stdout, people on stderr, exit codes                 |
| `spec_file.py` | run specifications from TOML                                         |
| `keys.py`, `query.py`, `tx.py`, `run.py`, `node_debug.py`, `status.py`: the groups        |
"""
