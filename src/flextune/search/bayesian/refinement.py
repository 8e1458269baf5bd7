"""Better candidates beside the best of a pool: where variables have many values, no sample of a set is dense enough.

An evolution strategy on the acquisition function, which costs next to nothing: the best candidates have children that
differ from them in all variables a little, or in one or two of them, and the best of all are the next parents. Steps
become smaller from round to round, down to one value.
"""

from __future__ import annotations

from collections.abc import Callable, Set
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from flextune.csp.assignment import Assignment, Assignments
from flextune.csp.solutions import SolutionSet
from flextune.search.encoding import Encoding, Positions
from flextune.search.unseen import Unseen, joined, row_keys
from flextune.surrogate.feature_map import WIDE
from flextune.surrogate.pool_posterior import Single

_FIRST_STEP = 0.2
_SHRINK = 0.3
_LEAST_STEP = 0.7
_REDRAWN = 0.15
_LEAST_FEASIBLE = 0.25


@dataclass(frozen=True, slots=True)
class RefinementOptions:
    """There are `rounds`, in each `children` of each of `parents`. Variables of at least `wide` values are numbers that
    take steps; of others another value is drawn now and then."""

    parents: int = 8
    children: int = 32
    rounds: int = 4
    wide: int = WIDE


class Refinement:
    """Of a set's members; worth its time where it is `useful`."""

    def __init__(self, solutions: SolutionSet, encoding: Encoding, unseen: Unseen, options: RefinementOptions) -> None:
        self._solutions = solutions
        self._encoding = encoding
        self._unseen = unseen
        self._options = options
        self._wide: npt.NDArray[np.bool_] = encoding.sizes >= options.wide

    @property
    def useful(self) -> bool:
        """Whether half of the variables have many values; of few, samples and neighbours are dense enough."""
        return bool(self._wide.any()) and 2 * int(self._wide.sum()) >= len(self._wide)

    def parents_of(self, values: Single) -> npt.NDArray[np.intp]:
        """Positions of the largest values."""
        count = min(self._options.parents, len(values))
        return np.argpartition(-values, count - 1)[:count]

    def best_beside(
        self,
        parents: Assignments,
        value: Callable[[Assignments], Single],
        besides: Set[Assignment],
        rng: np.random.Generator,
    ) -> Assignments:
        """The unseen member near the parents, or one of them, of the largest value. One of them at least is unseen."""
        taken = set(row_keys(Assignments.of(list(besides), self._solutions.names), self._solutions.names))
        best, values = parents, value(parents)
        for number in range(self._options.rounds):
            children = self._children(best, _FIRST_STEP * _SHRINK**number, rng)
            children = children.take(self._unseen.fresh(children, taken))
            best, values = joined([best, children]), np.concatenate([values, value(children)])
            order = np.argsort(-values, kind="stable")[: self._options.parents]
            best, values = best.take(order), values[order]
        fresh = self._unseen.fresh(best, taken)
        return best.take(fresh[:1])

    def _children(self, parents: Assignments, step: float, rng: np.random.Generator) -> Assignments:
        positions = np.repeat(self._encoding.positions(parents), self._options.children, axis=0)
        moved = self._moved(positions, step, rng)
        members = self._encoding.assignments(moved)
        inside = np.flatnonzero(self._solutions.contains_many(members))
        if len(inside) >= _LEAST_FEASIBLE * len(moved):
            return members.take(inside)
        some = moved[rng.permutation(len(moved))[: len(moved) // 4]]
        return self._encoding.nearest(self._encoding.scaled(some), rng)

    def _moved(self, positions: Positions, step: float, rng: np.random.Generator) -> Positions:
        """A step in every wide variable for half of the rows, in about one of them for the others."""
        sizes, shape = self._encoding.sizes, positions.shape
        steps = rng.standard_normal(shape) * np.maximum(step * sizes, _LEAST_STEP)
        single = rng.random(shape) < 1.5 / max(1, int(self._wide.sum()))
        taken = self._wide & (single | (rng.random((shape[0], 1)) < 0.5))
        redrawn = ~self._wide & (rng.random(shape) < _REDRAWN)
        moved = positions + np.where(taken, np.rint(steps), 0).astype(np.int64)
        moved = np.where(redrawn, rng.integers(0, sizes, shape), moved)
        return np.clip(moved, 0, sizes - 1)
