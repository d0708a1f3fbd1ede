"""One element of one operation, from exactly the operands that it needs.

```
positions = list_operands(op, shapes, element_index)           # for each input
opened = gather_operands(op, shapes, element_index, 0, read)    # read opens some positions
value = recompute_element(op, element_index, opened, shapes)
```

Everything is numpy on a few numbers: single IEEE operations and integer sums, so that every
machine that judges gets the same bits.
"""

from collections.abc import Callable, Sequence

import numpy as np

from exact.program import Op
from exact.referee.errors import UnknownOperation, WrongOperands
from exact.referee.kinds import RULES, Positions
from exact.referee.shapes import Shape, compute_output_shapes, unravel

# How often the operands of an element can depend on the values of others: tokens, then rows.
MAX_STAGES = 2


def list_operands(
    op: Op,
    shapes: Sequence[Shape],
    element_index: int,
    output_index: int = 0,
    opened_operands: Sequence[np.ndarray] = (),
) -> Positions:
    """List which operand elements one output element needs.

    Operands whose place depends on a value (a token's row of a table) are listed once that value
    is opened: call again with what has been opened until the list stays as it is.

    Args:
        op: the operation.
        shapes: of its inputs, in order.
        element_index: position in the output, C order.
        output_index: which output.
        opened_operands: for each input the values at the positions listed so far.

    Returns:
        For each input an int64 array of positions in C order, ascending.

    Raises:
        UnknownOperation: no such operation, output or element.
    """
    outputs = compute_output_shapes(op, shapes)
    if op.kind not in RULES or not 0 <= output_index < len(outputs):
        raise UnknownOperation(f"{op.kind} has no output {output_index}")
    shape = outputs[output_index]
    if not 0 <= element_index < int(np.prod(shape, dtype=np.int64)):
        raise UnknownOperation(f"output {output_index} of {op.kind} has no element {element_index}")
    index = unravel(element_index, shape)
    return RULES[op.kind].list_operands(op, shapes, index, output_index, opened_operands)


def recompute_element(
    op: Op,
    element_index: int,
    opened_operands: Sequence[np.ndarray],
    shapes: Sequence[Shape],
    output_index: int = 0,
) -> np.ndarray:
    """Compute the exact value of one output element.

    Args:
        op: the operation.
        element_index: position in the output, C order.
        opened_operands: for each input the values at the positions of `list_operands`, in order.
        shapes: of the inputs, in order.
        output_index: which output.

    Returns:
        float32 or int64 scalar array; a zero is +0.

    Raises:
        UnknownOperation: no such operation, output or element.
        WrongOperands: other operands than needed were given.
        InvalidStep: the operands make the step invalid.
    """
    needed = list_operands(op, shapes, element_index, output_index, opened_operands)
    if [len(values) for values in opened_operands] != [len(p) for p in needed]:
        raise WrongOperands(
            f"{op.kind} needs {[len(p) for p in needed]} operands, "
            f"{[len(values) for values in opened_operands]} were opened"
        )
    outputs = compute_output_shapes(op, shapes)
    index = unravel(element_index, outputs[output_index])
    with np.errstate(all="ignore"):
        value = RULES[op.kind].compute(op, shapes, index, output_index, opened_operands)
    array = np.asarray(value)
    return array + array.dtype.type(0)


def gather_operands(
    op: Op,
    shapes: Sequence[Shape],
    element_index: int,
    output_index: int,
    read: Callable[[int, np.ndarray], np.ndarray],
) -> list[np.ndarray]:
    """Open all operands of an element, stage by stage.

    Args:
        op, shapes, element_index, output_index: as for `list_operands`.
        read: (input index, positions) -> values at them.

    Returns:
        What `recompute_element` takes.
    """
    opened: list[np.ndarray] = [np.zeros(0)] * len(shapes)
    for _ in range(MAX_STAGES):
        positions = list_operands(op, shapes, element_index, output_index, opened)
        for i, wanted in enumerate(positions):
            if len(wanted) != len(opened[i]):
                opened[i] = read(i, wanted)
    return opened
