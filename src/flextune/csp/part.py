"""Pieces of an expression that is being decomposed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from flextune.csp.arithmetic import Numbers
from flextune.csp.constraint import Operand
from flextune.csp.parameters import Value
from flextune.csp.python_arithmetic import Array, Values

EVERYWHERE = np.ones((), dtype=bool)
"""Of values that are defined for all combinations."""


class CannotDecomposeError(Exception):
    """The piece has to stay whole."""


@dataclass(frozen=True, slots=True)
class Part:
    """A piece of an expression: a node, or a constant."""

    node: str = ""
    """Empty for a constant."""
    constant: Value = 0
    table: Array | None = None
    """What the node's numbers stand for, in order; None: themselves."""
    kind: str = "number"
    """As in `Parameter.kind`."""
    total: bool = True
    """Whether it has a value for every combination of values of the parameters."""

    @property
    def whole(self) -> bool:
        """Whether it is a whole number that stands for itself."""
        return self.table is None and isinstance(self.constant, int)

    @property
    def operand(self) -> Operand:
        return self.node or int(self.constant)

    def values(self, column: Numbers | None) -> Values:
        """Its values for a column of the node."""
        if not self.node:
            text = isinstance(self.constant, str)
            return Values(np.array(self.constant, dtype=object if text else None), EVERYWHERE, self.kind)
        assert column is not None
        return Values(column if self.table is None else self.table[column.astype(np.int64)], EVERYWHERE, self.kind)

    @property
    def key(self) -> tuple[object, ...]:
        return (self.node, type(self.constant).__name__, self.constant)
