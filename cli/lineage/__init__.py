"""Where did these weights come from? Records with proofs, recomputed.

| module       | duty                                                                       |
|--------------|----------------------------------------------------------------------------|
| `bundle.py`  | what a verification needs, in memory or in a folder                        |
| `collect.py` | get a bundle from a node and the run's participants                        |
| `verify.py`  | check a bundle against a trusted app hash; no network, no torch            |
| `export.py`  | write and read the folder, with safetensors, proofs and model card         |
| `app.py`     | `descent lineage show, tree, verify, export`                               |
"""
