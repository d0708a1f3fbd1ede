"""What a chain can execute: one element of one operation, from exactly the operands it needs.

errors.py     every refusal of this package
shapes.py     shapes of an operation's outputs; positions in C order
elements.py   `list_operands`, `recompute_element`: one element of any operation
kinds.py      the rules: operands and value of an element, per kind of operation
reduce.py     operations over whole tensors, cut into pieces that are local again
openings.py   Merkle openings: interval, step, operation, tensor, 4 KiB leaf, element
trace.py      a step recorded with the roots of its operations, and evidence about it
dispute.py    where operands come from; `judge_element`, from roots and openings to a verdict

Source: Arun et al., "Verde" (arXiv 2502.19405), refereed delegation to one operator; here to one
element of it.
"""
