"""Assignments as vectors: what strategies that cross, mutate, or move in space work on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from flextune.csp.assignment import Assignments

if TYPE_CHECKING:
    from flextune.csp.solutions import SolutionSet

Positions = npt.NDArray[np.int64]
"""Shape (rows, genes): which of a variable's values, counted from 0."""
Coordinates = npt.NDArray[np.float64]
"""Shape (rows, genes): positions scaled to [0, 1], first to last value."""

_TIE = 1e-6
"""Random part of a distance: which of equally near solutions is taken is left to chance."""


class Encoding:
    """The variables of a set that leave a choice as genes: `names`, and the values that some solution has in `values`.

    A vector of positions is any combination of values, a solution or not. Variables with one value in all solutions
    are no genes; auxiliary ones follow.
    """

    def __init__(self, solutions: SolutionSet) -> None:
        self._solutions = solutions
        self._domains = {v.name: v.domain.values for v in solutions.problem.variables if v.domain is not None}
        possible = {name: np.array(list(solutions.marginal(name)), dtype=np.int64) for name in self._domains}
        self._fixed = {name: values for name, values in possible.items() if len(values) == 1}
        self.names = tuple(name for name in possible if name not in self._fixed)
        self.values = tuple(possible[name] for name in self.names)
        self.sizes: Positions = np.array([len(values) for values in self.values], dtype=np.int64)

    @property
    def genes(self) -> int:
        return len(self.names)

    def random(self, rng: np.random.Generator, rows: int) -> Positions:
        """Every gene uniform by itself: solutions only by luck."""
        return rng.integers(0, self.sizes, size=(rows, self.genes))

    def positions(self, assignments: Assignments) -> Positions:
        """The genes of solutions."""
        found = np.zeros((len(assignments), self.genes), dtype=np.int64)
        for gene, (name, values) in enumerate(zip(self.names, self.values, strict=True)):
            found[:, gene] = np.searchsorted(values, assignments.columns[name])
        return found

    def assignments(self, positions: Positions) -> Assignments:
        """The combinations of values, auxiliary variables computed (0 where they have no value)."""
        chosen = {name: np.broadcast_to(values, len(positions)) for name, values in self._fixed.items()}
        for gene, (name, values) in enumerate(zip(self.names, self.values, strict=True)):
            chosen[name] = values[positions[:, gene]]
        complete, _ = self._solutions.problem.computed(chosen)
        shape = (len(positions),)
        columns = {name: np.broadcast_to(complete[name], shape) for name in self._solutions.names}
        return Assignments(columns, len(positions))

    def violations(self, assignments: Assignments) -> npt.NDArray[np.int64]:
        """How many constraints each combination of values violates, definitions without a result among them."""
        problem = self._solutions.problem
        complete, _ = problem.computed({name: assignments.columns[name] for name in self._domains})
        count = np.zeros(len(assignments), dtype=np.int64)
        for constraint in problem.constraints:
            count += ~np.asarray(constraint.holds(complete), dtype=bool)
        return count

    def scaled(self, positions: Positions) -> Coordinates:
        return np.asarray(positions / np.maximum(1, self.sizes - 1), dtype=np.float64)

    def nearest(
        self, wanted: Coordinates, rng: np.random.Generator, weights: npt.NDArray[np.float64] | None = None
    ) -> Assignments:
        """For each row the solution with the least sum of the coordinates' distances, each times its weight.

        Exact, however far it is; one of equally near ones at random.
        """
        weights = np.ones(wanted.shape) if weights is None else weights
        distances = [
            weights[:, gene, None] * np.abs(wanted[:, gene, None] - np.arange(size) / max(1, size - 1))
            + _TIE * rng.random((len(wanted), size))
            for gene, size in enumerate(self.sizes.tolist())
        ]
        return self.cheapest(distances, len(wanted))

    def cheapest(self, costs: Sequence[Coordinates], rows: int) -> Assignments:
        """For each row the solution with the least sum of costs; by gene, an array of shape (rows, positions)."""
        if not self.genes:
            return self._solutions.unrank_many(np.zeros(rows, dtype=np.int64))
        spread = (self._of_domain(gene, cost) for gene, cost in enumerate(costs))
        return self._solutions.cheapest(dict(zip(self.names, spread, strict=True)))

    def _of_domain(self, gene: int, costs: Coordinates) -> Coordinates:
        """The costs with a column for each value of the domain; what no solution has is never looked at."""
        domain = self._domains[self.names[gene]]
        if len(domain) == len(self.values[gene]):
            return costs
        spread = np.zeros((len(costs), len(domain)))
        spread[:, np.searchsorted(domain, self.values[gene])] = costs
        return spread

    def moves(self, assignments: Assignments, rng: np.random.Generator) -> Assignments:
        """For each solution one beside it: a random gene has another of its values, the others change the least.

        Every value can be had, as some solution has it. Where there is no gene, the solution itself.
        """
        if not self.genes:
            return assignments
        wanted = self.positions(assignments)
        rows = np.arange(len(wanted))
        gene = rng.integers(self.genes, size=len(wanted))
        wanted[rows, gene] = (wanted[rows, gene] + rng.integers(1, self.sizes[gene])) % self.sizes[gene]
        weights = np.ones(wanted.shape)
        weights[rows, gene] = 2.0 * self.genes * self.sizes[gene]
        return self.nearest(self.scaled(wanted), rng, weights)
