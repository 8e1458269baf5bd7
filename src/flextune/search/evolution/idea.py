"""IDEA, an infeasibility driven evolutionary algorithm (Ray, Singh, Isaacs and Smith, in "Constraint-Handling in
Evolutionary Optimization", Springer 2009).

A share `alpha` of the population is kept infeasible: the best of those that violate constraints, ranked ahead of the
solutions. They lie beside the feasible part, where the optimum of a constrained problem often is, and their children
reach it from the other side. Solutions are ranked by predicted fitness; the infeasible ones by two objectives, fitness
and violation, sorted into fronts none of which dominates another, and by crowding within a front. Parents win binary
tournaments; children are made by simulated binary crossover and polynomial mutation (NSGA-II's, with distribution
indices 15 and 20) on positions of values, rounded.

The paper ranks every constraint's violation and adds up the ranks; where constraints hold or not, that is their number.
Heron uses IDEA as a baseline (ASPLOS 2023, section 7). Only solutions are ever asked.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from flextune.search.encoding import Coordinates
from flextune.search.evolution.genetic import (
    GeneticOptions,
    GeneticStrategy,
    Genotypes,
    Population,
    merged,
    mutated,
    rescaled,
)
from flextune.search.strategy_options import option
from flextune.trial.history import Fitness

_CROSSOVER_INDEX = 15.0
_MUTATION_INDEX = 20.0
_CROSSOVER = 0.9


@dataclass(frozen=True, slots=True)
class IdeaOptions(GeneticOptions):
    """`alpha` is the infeasible share of the population, which has `parents` members."""

    alpha: float = option(0.2, low=0, high=1)


class IdeaStrategy(GeneticStrategy[IdeaOptions]):
    """Evolutionary algorithm that keeps a share of the best infeasible combinations in its population."""

    options_type = IdeaOptions
    source = "Ray et al., Springer 2009; Heron's baseline IDEA"

    def selected(self, population: Population) -> Population:
        """The next population, best first: the share of infeasible ones, then solutions; either fills up the other."""
        infeasible = population.take(np.flatnonzero(population.violations))
        feasible = population.feasible()
        infeasible = infeasible.take(front_order(infeasible.fitness, infeasible.violations))
        feasible = feasible.take(np.argsort(-feasible.fitness, kind="stable"))
        size = min(self.options.parents, len(population))
        share = max(min(round(self.options.alpha * size), len(infeasible)), size - len(feasible))
        return merged([infeasible.take(np.arange(share)), feasible.take(np.arange(size - share))])

    def bred(self, parents: Population) -> Genotypes:
        pairs = self.rng.integers(len(parents), size=(self.options.offspring, 2, 2)).min(axis=2)
        sizes = self.encoding.sizes
        scaled = self.encoding.scaled(parents.genotypes.astype(np.int64))
        children = simulated_binary(self.rng, scaled[pairs[:, 0]], scaled[pairs[:, 1]])
        children = mutated(self.rng, children, polynomial(self.rng, children), self.options.mutation)
        return rescaled(children, sizes).astype(np.float64)


def simulated_binary(rng: np.random.Generator, first: Coordinates, second: Coordinates) -> Coordinates:
    """Children about as far from their middle as the parents are (Deb and Agrawal, Complex Systems 9, 1995)."""
    chance = rng.random(first.shape)
    inside = (2 * chance) ** (1 / (_CROSSOVER_INDEX + 1))
    outside = (1 / (2 * (1 - chance))) ** (1 / (_CROSSOVER_INDEX + 1))
    spread = np.where(chance <= 0.5, inside, outside) * rng.choice((-1.0, 1.0), size=first.shape)
    crossed = rng.random((len(first), 1)) < _CROSSOVER
    return np.where(crossed, ((1 + spread) * first + (1 - spread) * second) / 2, first)


def polynomial(rng: np.random.Generator, coordinates: Coordinates) -> Coordinates:
    """Each coordinate moved a little, by more than a tenth of the range rarely."""
    chance = rng.random(coordinates.shape)
    down = (2 * chance) ** (1 / (_MUTATION_INDEX + 1)) - 1
    up = 1 - (2 * (1 - chance)) ** (1 / (_MUTATION_INDEX + 1))
    return np.asarray(coordinates + np.where(chance < 0.5, down, up), dtype=np.float64)


def front_order(fitness: Fitness, violations: npt.NDArray[np.int64]) -> npt.NDArray[np.intp]:
    """From the first front of undominated ones to the last; in a front, the ones with most room around them first."""
    at_least = (fitness[:, None] >= fitness) & (violations[:, None] <= violations)
    dominates = at_least & ~at_least.T
    left = np.ones(len(fitness), dtype=bool)
    order: list[npt.NDArray[np.intp]] = []
    while left.any():
        front = np.flatnonzero(left & ~(dominates & left[:, None]).any(axis=0))
        room = crowding_distance(fitness[front]) + crowding_distance(violations[front].astype(np.float64))
        order.append(front[np.argsort(-room, kind="stable")])
        left[front] = False
    return np.concatenate(order) if order else np.zeros(0, dtype=np.intp)


def crowding_distance(objective: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """By member of a front: how far apart its two neighbours in this objective are; infinity at the ends."""
    order = np.argsort(objective, kind="stable")
    ordered = objective[order]
    gaps = np.full(len(objective), np.inf)
    if len(objective) > 2:
        gaps[1:-1] = (ordered[2:] - ordered[:-2]) / max(float(np.ptp(objective)), 1e-12)
    distance = np.empty(len(objective))
    distance[order] = gaps
    return distance
