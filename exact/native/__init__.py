"""The native library: plain C, loaded by ctypes, the same bits as the definition.

build.py      compile it; `python -m exact.native.build`
library.py    ctypes: paths, contexts, lists of operations, number of threads
paths.py      choose the instruction-set path
selftest.py   known answers that a path must give
fuse.py       rewrite a list of operations into fewer
attention.py  recognise attention in a list
oplist.py     a list that is rewritten
lower.py      operations -> the library's instructions
plan.py       a list planned once: memory, addresses, one call a step

vec.h         vectors of 16, 8 or 4 lanes
pack.h        quantise and lay out operands
gemm.h        products: one micro-kernel a path
neon.h        the micro-kernels of ARM
elementwise.h elementwise operations, norms, embedding, clip, AdamW
softmax.h     exp2, softmax, cross-entropy
attention.h   heads, rotation, causal attention
path.c        all of these, compiled once a path
pool.c        threads
library.c     the C interface
native.h      what the parts share
"""
