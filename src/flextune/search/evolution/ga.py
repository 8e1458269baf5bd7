"""A plain genetic algorithm on values, the baseline GA of Heron (ASPLOS 2023, section 7).

Parents are selected by roulette; a child has the first values of one parent and the last of the other (one-point
crossover), and each value is replaced with a small chance by any that the variable may have. Nothing sees to it that
the child is a solution. In a tightly constrained space few are; that is the baseline's point, and what CGA does away
with.

`infeasible=discard`, as in Heron, lets the others die: they get no fitness, no children, and no measurement. With
`infeasible=repair` a child that is no solution is replaced by the nearest one.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from flextune.search.evolution.genetic import (
    GeneticOptions,
    GeneticStrategy,
    Genotypes,
    Population,
    mutated,
    one_point_children,
)
from flextune.search.strategy_options import option


@dataclass(frozen=True, slots=True)
class GaOptions(GeneticOptions):
    """`infeasible` says what becomes of children that are no solutions."""

    infeasible: str = option("discard", choices=("discard", "repair"))


class GaStrategy(GeneticStrategy[GaOptions]):
    """Genetic algorithm with crossover and mutation of values; children that are no solutions are lost or repaired."""

    options_type = GaOptions
    source = "Heron, ASPLOS 2023, the baseline GA"

    def bred(self, parents: Population) -> Genotypes:
        children = one_point_children(self.rng, parents.genotypes, self.options.offspring)
        anything = self.encoding.random(self.rng, len(children)).astype(np.float64)
        children = mutated(self.rng, children, anything, self.options.mutation)
        return self._repaired(children) if self.options.infeasible == "repair" else children

    def survivors(self, children: Population) -> Population:
        return children.feasible()

    def _repaired(self, genotypes: Genotypes) -> Genotypes:
        broken = np.flatnonzero(self.encoding.violations(self.decoded(genotypes)) > 0)
        wanted = self.encoding.scaled(genotypes[broken].astype(np.int64))
        genotypes[broken] = self.encoding.positions(self.encoding.nearest(wanted, self.rng))
        return genotypes
