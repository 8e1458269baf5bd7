"""The directions in which one can leave a point of the space (FlexTensor, ASPLOS 2020, section 4.2).

A product of tile sizes is a subspace; its direction (i, j) moves a factor from its variable i to its variable j. So is
every single variable; its directions are down and up.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from flextune.csp.assignment import Assignment, Assignments
from flextune.csp.neighbours import splits
from flextune.csp.problem import Problem

_DOWN, _UP = 0, 1


@dataclass(frozen=True, slots=True)
class Direction:
    """A direction by its number in its subspace."""

    subspace: int
    number: int


class Directions:
    """All subspaces of a problem with their directions.

    `subspaces` lists the variables of each. A neighbour that trades one variable of a split for another belongs to the
    first such split; any other one to the first variable that differs. So each belongs to one direction exactly.
    """

    def __init__(self, problem: Problem) -> None:
        self.names = tuple(variable.name for variable in problem.variables if variable.domain is not None)
        several = (split for split in splits(problem) if len(split) > 1)
        self._splits = tuple(dict.fromkeys(several))
        self.subspaces: tuple[tuple[str, ...], ...] = (*self._splits, *((name,) for name in self.names))

    def count(self, subspace: int) -> int:
        """How many directions a subspace has (for a split, those from a variable to itself included: no neighbours)."""
        return max(2, len(self.subspaces[subspace]) ** 2)

    def of(self, start: Assignment, neighbours: Assignments) -> list[Direction]:
        """The direction of each neighbour of `start`."""
        sign = np.sign(neighbours.matrix(self.names) - Assignments.of([start], self.names).matrix(self.names))
        return [self._direction(row) for row in sign]

    def by_direction(self, start: Assignment, neighbours: Assignments) -> Mapping[Direction, int]:
        """For each direction, the position of its nearest neighbour of `start`."""
        steps = _logarithms(neighbours, self.names) - _logarithms(Assignments.of([start], self.names), self.names)
        directions = self.of(start, neighbours)
        nearest: dict[Direction, int] = {}
        for index in np.argsort(np.abs(steps).sum(axis=1), kind="stable").tolist():
            nearest.setdefault(directions[index], index)
        return dict(sorted(nearest.items(), key=lambda item: (item[0].subspace, item[0].number)))

    def _direction(self, sign: npt.NDArray[np.int64]) -> Direction:
        changes = dict(zip(self.names, sign.tolist(), strict=True))
        for subspace, split in enumerate(self._splits):
            down, up = ([i for i, name in enumerate(split) if changes[name] == way] for way in (-1, 1))
            if len(down) == len(up) == 1:
                return Direction(subspace, down[0] * len(split) + up[0])
        changed = next(index for index, name in enumerate(self.names) if changes[name])
        return Direction(len(self._splits) + changed, _UP if changes[self.names[changed]] > 0 else _DOWN)


def _logarithms(assignments: Assignments, names: Sequence[str]) -> npt.NDArray[np.float64]:
    values = assignments.matrix(names)
    return np.asarray(np.copysign(np.log2(1.0 + np.abs(values)), values), dtype=np.float64)
