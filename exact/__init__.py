"""Bit-exact training: the definition, its fast twin, programs, states and roots.

errors.py      every refusal of this package
config.py      ModelConfig, OptimiserConfig, read from a run spec
program.py     operations; programs as static lists
gradients.py   vector-Jacobian rules, recomputation of activations
step.py        training steps: accumulation over parts, optimiser
families/      builders of programs and first weights
backends/      numpy (the definition), torch, native and triton (the fast twins) execute programs
native/        the C library: built here, chosen by known answers
cuda/          the Triton kernels, chosen likewise
arithmetic.py  quantising, exact sums, exp2, log2, sigmoid: what definitions are made of
elementary.py  constants of exp2 and log2, rotary tables
counter.py     counter-based integers: the only randomness
sampling.py    drawing a token with integers
merkle.py      RFC 6962 tree, paths
state.py       canonical states: roots, openings, bytes
memory.py      how much a step takes, and what would take less
referee/       one element recomputed from opened operands: what a chain can execute
probe.py       golden-trace self-test of a device

huggingface.py  Llama folders of `transformers`: config, weights, byte tokenizer
codec.py        payloads: compress, encode, decode, the strict parser
sparsify.py     which elements a payload sends, at which levels
subset_code.py  sets of positions as numbers
addresses.py    how states, traces and manifests are addressed in transport
data/           training text: corpus, manifest, packs, sampling
"""
