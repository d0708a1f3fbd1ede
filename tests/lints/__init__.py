"""Rules of the tree, held by tests; every rule is also shown to fail on a planted violation.

| file                     | rule                                                               |
|--------------------------|--------------------------------------------------------------------|
| `tree.py`                | the files of the repository, parsed once                           |
| `test_imports.py`        | who may import whom                                                |
| `test_determinism.py`    | nothing in consensus code that differs between machines            |
| `test_hazards.py`        | `except Exception`, pickle, eval                                   |
| `test_text.py`           | ASCII, columns, no machine paths, no package hosts                 |
| `test_sizes.py`          | length of files and functions, names of files                      |
| `test_maps.py`           | the docstring of a package names every module in it                |
| `test_pallet_folders.py` | files of a pallet, sections of its README                          |
| `test_call_docs.py`      | `Raises` and `Emits` of calls against the code                     |
| `test_generated.py`      | protobuf stubs and pins are up to date                             |
"""
