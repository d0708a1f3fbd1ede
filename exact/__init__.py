"""Bit-exact training: the definition, its fast twin, programs, states and roots.

errors.py    every refusal of this package
merkle.py    RFC 6962 tree, paths
state.py     canonical states: roots, openings, bytes

codec.py        payloads: compress, encode, decode, the strict parser
sparsify.py     which elements a payload sends, at which levels
subset_code.py  sets of positions as numbers
data/           training text: corpus, manifest, packs, sampling
"""
