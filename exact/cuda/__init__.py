"""Kernels for NVIDIA devices in Triton: the definition of `docs/exact.md` on tensor cores.

scalars.py            what kernels are made of: exponents, quantising, grids, exp2, log2, dots
launch.py             starts a kernel: contraction off; a recorder of launches
formats.py            how a product's operands are held: int8, fp16, or int16 in two planes
pack.py               quantise and lay out an operand, one pass
product.py            blocks of integers on tensor cores, scales and ends of a product
heads.py              cut heads out of rows with their rotation, and put gradients back
attention.py          attention forward and backward without a T by T tensor
attention_kernels.py  its three kernels
rows.py               norms and the loss
sums.py               sums over many rows by integer atomics: embedding, gains, clip
elementwise.py        the rest, and AdamW
selftest.py           known answers, and which product path serves

Kernels need `triton`, which torch brings along on Linux. With TRITON_INTERPRET=1 in the environment
before triton is imported they run in Triton's interpreter, on the CPU, for tests.
"""
