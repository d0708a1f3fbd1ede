"""Training text: which files, how they are named by one root, and who trains on what.

errors.py    every refusal of this package
corpus.py    find the files: the standard library's source, or a directory of text
manifest.py  file table, chunk hashes, dataset root; what differs between two manifests
pack.py      the dataset on disk: build, open and check, rebuild from a peer
weights.py   first weights that no seed makes, kept by their root
sampling.py  sequences by keyed permutation: assigned, evaluation, held-out

Numpy and hashlib only.
"""
