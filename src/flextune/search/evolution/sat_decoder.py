"""A genetic algorithm with SAT decoding (Lukasiewycz, Glaß, Haubelt and Teich, CEC 2007).

What evolves is not a solution but how a solver looks for one: for every variable a priority, which says how early it
is branched on, and a value that is tried first (the polarity of its Booleans). The decoder solves the constraints with
this branching strategy, so that every genotype stands for a solution, and every solution for many genotypes.

A solver that backtracks ends with the assignment in which the variables, taken by priority, have what they want
whenever what was decided before leaves a solution that has it. The diagram of the solutions gives the same without
search: it is the cheapest path where the first variable to be refused costs more than all that come after it. A
variable that cannot have its value has the nearest one that is left.

A solution's own genotype, for what was drawn or measured, wants all its values, with random priorities. This is Heron's
baseline (ASPLOS 2023, section 7), which repairs crossed values by its solver and has no priorities to evolve;
`priorities=false` draws them anew for every child.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from flextune.csp.assignment import Assignments
from flextune.search.encoding import Positions
from flextune.search.evolution.genetic import (
    GeneticOptions,
    GeneticStrategy,
    Genotypes,
    Population,
    mutated,
    one_point_children,
)
from flextune.search.strategy_options import option

_STRICT = 30
"""As many decisions are strictly ordered: sums of their prices are exact in 64-bit floats, with room for ties."""

_LEAST_OFFSPRING = 16
_EDGES_PER_GENERATION = 6_000_000
"""Edges of the diagram times children: some 20 ms of decoding."""


@dataclass(frozen=True, slots=True)
class SatDecoderOptions(GeneticOptions):
    """`priorities` says whether the branching order evolves or is random.

    Where the diagram of the solutions has more than 30 000 edges, a generation has fewer children than `offspring`.
    """

    priorities: bool = option(True)


class SatDecoderStrategy(GeneticStrategy[SatDecoderOptions]):
    """Genetic algorithm over a solver's branching order and preferred values; every child decodes to a solution."""

    options_type = SatDecoderOptions
    source = "Lukasiewycz et al., CEC 2007; Heron's baseline SDGA"

    def encoded(self, positions: Positions) -> Genotypes:
        return np.concatenate([self.rng.random(positions.shape), positions], axis=1)

    def bred(self, parents: Population) -> Genotypes:
        affordable = max(_LEAST_OFFSPRING, _EDGES_PER_GENERATION // max(1, self.solutions.edges))
        children = one_point_children(self.rng, parents.genotypes, min(self.options.offspring, affordable))
        anything = self.encoded(self.encoding.random(self.rng, len(children)))
        children = mutated(self.rng, children, anything, self.options.mutation)
        if not self.options.priorities:
            children[:, : self.encoding.genes] = self.rng.random((len(children), self.encoding.genes))
        return children

    def decoded(self, genotypes: Genotypes) -> Assignments:
        priorities, wanted = np.split(genotypes, [self.encoding.genes], axis=1)
        turn = np.argsort(np.argsort(-priorities, axis=1, kind="stable"), axis=1)
        genes = self.encoding.genes
        refusal = np.where(turn < _STRICT, np.exp2(_STRICT - np.minimum(turn, _STRICT)), 1 / genes)
        away = [
            np.abs(wanted[:, gene, None] - np.arange(size)) for gene, size in enumerate(self.encoding.sizes.tolist())
        ]
        far = 2.0 * genes * sum(self.encoding.sizes.tolist())
        costs = [refusal[:, gene, None] * (each > 0) + each / far for gene, each in enumerate(away)]
        return self.encoding.cheapest(costs, len(genotypes))
