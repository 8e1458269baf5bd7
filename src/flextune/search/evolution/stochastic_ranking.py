"""A genetic algorithm with stochastic ranking (Runarsson and Yao, IEEE Trans. Evol. Comput. 4(3), 2000, section III).

Combinations of values that violate constraints stay in the population. Individuals are ranked by a bubble sort in which
two adjacent ones are compared by predicted fitness, if neither violates anything or by a coin that falls so with
probability `pf`, and by their violations otherwise. `pf=0.45` puts a balance between the two: an infeasible individual
with good genes may have children, mostly near the border of the feasible part. The best ranked are the parents.

This is Heron's baseline (ASPLOS 2023, section 7) with its violation: the number of constraints that do not hold. A
space that is given as rows is one constraint, so there an individual is in or out. Heron sweeps ten times; here it is
as in the paper, as often as there are individuals, or until a sweep changes nothing. Only solutions are ever asked.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from flextune.search.evolution.genetic import (
    GeneticOptions,
    GeneticStrategy,
    Genotypes,
    Population,
    mutated,
    one_point_children,
)
from flextune.search.strategy_options import option
from flextune.trial.history import Fitness


@dataclass(frozen=True, slots=True)
class StochasticRankingOptions(GeneticOptions):
    """`pf` is the probability of ranking by fitness where constraints are violated."""

    pf: float = option(0.45, low=0, high=1)


class StochasticRankingStrategy(GeneticStrategy[StochasticRankingOptions]):
    """Genetic algorithm that ranks by fitness or by violated constraints, as a coin decides."""

    options_type = StochasticRankingOptions
    source = "Runarsson & Yao, IEEE TEVC 4(3) 2000; Heron's baseline SRGA"

    def selected(self, population: Population) -> Population:
        order = stochastic_ranking(self.rng, population.fitness, population.violations, self.options.pf)
        return population.take(order[: self.options.parents])

    def bred(self, parents: Population) -> Genotypes:
        children = one_point_children(self.rng, parents.genotypes, self.options.offspring)
        anything = self.encoding.random(self.rng, len(children)).astype(np.float64)
        return mutated(self.rng, children, anything, self.options.mutation)


def stochastic_ranking(
    rng: np.random.Generator, fitness: Fitness, violations: npt.NDArray[np.int64], pf: float
) -> npt.NDArray[np.intp]:
    """Positions from the best ranked to the worst."""
    order = list(range(len(fitness)))
    fit, violated = fitness.tolist(), violations.tolist()
    for _ in range(len(order)):
        by_fitness = (rng.random(max(0, len(order) - 1)) < pf).tolist()
        swapped = False
        for place, coin in enumerate(by_fitness):
            ahead, behind = order[place], order[place + 1]
            if coin or violated[ahead] == violated[behind] == 0:
                swap = fit[ahead] < fit[behind]
            else:
                swap = violated[ahead] > violated[behind]
            if swap:
                order[place], order[place + 1] = behind, ahead
                swapped = True
        if not swapped:
            break
    return np.array(order, dtype=np.intp)
