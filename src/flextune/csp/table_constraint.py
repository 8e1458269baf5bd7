"""Sets of solutions that are given as a list of rows: a constraint, and its diagram without any search."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from flextune.csp.arithmetic import Numbers
from flextune.csp.assignment import Assignments
from flextune.csp.constraint import Constraint, Truth
from flextune.csp.diagram import Diagram, Layer
from flextune.csp.domain import checked_integer
from flextune.errors import UsageError

if TYPE_CHECKING:
    from flextune.csp.problem import Problem


@dataclass(frozen=True)
class Table(Constraint):
    """The variables have the values of one of the rows (an extensional constraint). No rows: it never holds."""

    variables: tuple[str, ...]
    rows: tuple[tuple[int, ...], ...]

    def __post_init__(self) -> None:
        variables = tuple(self.variables)
        if not variables or len(set(variables)) < len(variables):
            raise UsageError(f"Table: expected different variable names, got {variables}")
        rows = {tuple(checked_integer(value, "value of a Table") for value in row) for row in self.rows}
        for row in rows:
            if len(row) != len(variables):
                raise UsageError(f"Table of {', '.join(variables)}: expected {len(variables)} values, got {row}")
        object.__setattr__(self, "variables", variables)
        object.__setattr__(self, "rows", tuple(sorted(rows)))

    @classmethod
    def of(cls, assignments: Assignments) -> Table:
        """The rows of these assignments."""
        names = tuple(assignments.columns)
        return cls(names, tuple(map(tuple, assignments.matrix(names).tolist())))

    def operands(self) -> tuple[str, ...]:
        return self.variables

    def holds(self, columns: Mapping[str, Numbers]) -> Truth:
        arrays = np.broadcast_arrays(*(np.asarray(columns[name]) for name in self.variables))
        if not self.rows:
            return np.zeros(arrays[0].shape, dtype=bool)
        flat = {name: array.ravel() for name, array in zip(self.variables, arrays, strict=True)}
        _, known = self._diagram.ranked(flat)
        return known.reshape(arrays[0].shape)

    def formula(self) -> str:
        rows = ", ".join(f"({', '.join(map(str, row))})" for row in self.rows)
        return f"table ({', '.join(self.variables)}) in {{{rows}}}"

    @cached_property
    def matrix(self) -> npt.NDArray[np.int64]:
        """Array (rows, variables), sorted."""
        return np.array(self.rows, dtype=np.int64).reshape(len(self.rows), len(self.variables))

    @cached_property
    def _diagram(self) -> Diagram:
        return diagram_of_rows(self.variables, self.matrix)


def covering_table(problem: Problem) -> Table | None:
    """The table that names every variable with a domain, if the problem has one: its rows are all there is to check."""
    chosen = {variable.name for variable in problem.variables if variable.domain is not None}
    tables = (constraint for constraint in problem.constraints if isinstance(constraint, Table))
    return next((table for table in tables if set(table.variables) == chosen), None)


def solved_by_table(problem: Problem, table: Table) -> Diagram:
    """The rows of a covering table that satisfy everything else, too."""
    names = [variable.name for variable in problem.variables if variable.domain is not None]
    rows = table.matrix[:, [table.variables.index(name) for name in names]]
    holds = problem.satisfied({name: rows[:, index] for index, name in enumerate(names)})
    return diagram_of_rows(names, rows[holds])


def diagram_of_rows(names: Sequence[str], rows: npt.NDArray[np.int64]) -> Diagram:
    """The smallest diagram along this order of the variables: the rows' prefix tree, equal ends shared."""
    rows = np.unique(rows, axis=0)
    if not len(rows):
        empty = np.zeros(0, dtype=np.int64)
        start = np.zeros(1, dtype=np.int64)
        none = empty.astype(np.uint32), empty.astype(np.int32)
        return Diagram(tuple(Layer(name, empty, start, *none) for name in names), 0)
    layers: list[Layer] = []
    changes = np.cumsum(np.concatenate([np.zeros((1, rows.shape[1]), bool), rows[1:] != rows[:-1]]), axis=1) > 0
    changes[0] = True  # changes[r, k]: row r begins a new prefix of k + 1 values
    end = np.zeros(len(rows), dtype=np.int32)
    for depth in range(len(names) - 1, -1, -1):
        values, choice = np.unique(rows[:, depth], return_inverse=True)
        edges = np.flatnonzero(changes[:, depth])
        nodes = np.flatnonzero(changes[:, depth - 1]) if depth else np.zeros(1, dtype=np.intp)
        start = np.append(np.searchsorted(edges, nodes), len(edges))
        label = np.stack([choice[edges], end[edges]], axis=1).astype(np.int64)
        layer, state = _merged(names[depth], values, start, label)
        layers.append(layer)
        end = np.repeat(state, np.diff(np.append(nodes, len(rows))))
    return Diagram(tuple(layers[::-1]), 1)


def _merged(
    name: str, values: Numbers, start: npt.NDArray[np.intp], label: npt.NDArray[np.int64]
) -> tuple[Layer, npt.NDArray[np.int32]]:
    """The layer in which nodes with the same edges are one state, and each node's state."""
    states: dict[bytes, int] = {}
    kept: list[int] = []
    state = np.empty(len(start) - 1, dtype=np.int32)
    for node, (begin, end) in enumerate(zip(start[:-1].tolist(), start[1:].tolist(), strict=True)):
        key = label[begin:end].tobytes()
        if key not in states:
            states[key] = len(states)
            kept.append(node)
        state[node] = states[key]
    edges = np.concatenate([label[start[node] : start[node + 1]] for node in kept])
    begins = np.concatenate([[0], np.cumsum([start[node + 1] - start[node] for node in kept])]).astype(np.int64)
    return Layer(name, values, begins, edges[:, 0].astype(np.uint32), edges[:, 1].astype(np.int32)), state
