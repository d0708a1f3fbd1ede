"""A list of operations with an index of who reads and writes what, to rewrite patterns in."""

from collections.abc import Sequence

from exact.program import Op


class OpList:
    """A list of operations that is rewritten.

    Attributes:
        ops: removed ones are None.
        keep: names that must exist afterwards.
        writer: name -> index of the operation that writes it.
        readers: name -> indices of the operations that read it.
    """

    def __init__(self, ops: Sequence[Op], keep: set[str]):
        """Index a list."""
        self.ops: list[Op | None] = list(ops)
        self.keep = keep
        self.writer: dict[str, int] = {}
        self.readers: dict[str, list[int]] = {}
        for index, item in enumerate(ops):
            self._add(index, item)

    def get(self, index: int) -> Op:
        """Return an operation that is there."""
        op = self.ops[index]
        assert op is not None, "a removed operation"
        return op

    def put(self, index: int, op: Op | None) -> None:
        """Put an operation in the place of another, or remove it."""
        old = self.ops[index]
        if old is not None:
            for name in old.inputs:
                self.readers[name].remove(index)
            for name in old.outputs:
                if self.writer.get(name) == index:
                    del self.writer[name]
        self.ops[index] = op
        if op is not None:
            self._add(index, op)

    def _add(self, index: int, op: Op) -> None:
        for name in op.inputs:
            self.readers.setdefault(name, []).append(index)
        for name in op.outputs:
            if name:
                self.writer[name] = index

    def get_writer(self, name: str, kind: str) -> int | None:
        """Return the index of the operation that writes a name, if it is of a kind."""
        index = self.writer.get(name)
        op = None if index is None else self.ops[index]
        return index if op is not None and op.kind == kind else None

    def get_reader(self, name: str, kind: str, position: int | None = None) -> int | None:
        """Return the only reader of a kind (at an input position), None if there is not one."""
        found = [
            index
            for index in self.readers.get(name, [])
            if (op := self.ops[index]) is not None
            and op.kind == kind
            and (position is None or op.inputs[position] == name)
        ]
        return found[0] if len(found) == 1 else None

    def is_private(self, name: str, members: set[int]) -> bool:
        """Whether only these operations read a name."""
        return name not in self.keep and set(self.readers.get(name, [])) <= members

    def replace(self, members: Sequence[int], at: int, op: Op) -> None:
        """Put one operation in the place of several."""
        for index in members:
            self.put(index, None)
        self.put(at, op)
