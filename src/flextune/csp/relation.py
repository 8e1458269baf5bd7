"""A constraint inside of networks: any test of a few nodes' values, by column."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from flextune.csp.arithmetic import Numbers
from flextune.csp.constraint import Constraint, Truth


@dataclass(frozen=True, slots=True)
class Relation(Constraint):
    """The test holds for the values of these nodes. Unlike a user's predicate it may be tried on any combination."""

    nodes: tuple[str, ...]
    test: Callable[[Sequence[Numbers]], Truth]
    """From a column for each node, which broadcast, to truth by element."""

    def operands(self) -> tuple[str, ...]:
        return self.nodes

    def holds(self, columns: Mapping[str, Numbers]) -> Truth:
        arrays = [columns[name] for name in self.nodes]
        shape = np.broadcast_shapes(*(array.shape for array in arrays))
        return np.broadcast_to(np.asarray(self.test(arrays), dtype=bool), shape)

    def formula(self) -> str:
        return f"relation({', '.join(self.nodes)})"
