"""What genetic algorithms share that cross and mutate vectors: genotypes, generations, and the choice of a round.

A round, as in CGA: random solutions, the best measured ones, and what the last round ended with are the first
generation; a number of generations are bred on predicted fitness; of all the unmeasured solutions met on the way some
of the round are those predicted best, and some are selected by roulette. Without a cost model, fitness is predicted
from the nearest measured assignments (see `NearestRanking`). Until something has run a round is a uniform draw.

A population may hold combinations of values that are no solutions: what becomes of them is what the strategies differ
in. None is ever asked.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from flextune.csp.assignment import Assignments
from flextune.search.encoding import Coordinates, Encoding, Positions
from flextune.search.evolution.nearest import NearestRanking
from flextune.search.evolution.selection import next_round, roulette
from flextune.search.rounds import RoundStrategy
from flextune.search.strategy import Ranking
from flextune.search.strategy_options import StrategyOptions, option
from flextune.search.unseen import joined
from flextune.trial.history import Fitness

Genotypes = npt.NDArray[np.float64]
"""Shape (rows, loci): positions of values, and what else a strategy lets evolve."""


@dataclass(frozen=True, slots=True)
class GeneticOptions(StrategyOptions):
    """`population` random solutions and the `history` best start a round; `mutation` is the chance of each locus.

    `epsilon` is the part of a round that is selected by roulette.
    """

    round_size: int = option(32, low=1, high=1024)
    """Assignments measured before the next round is bred."""
    population: int = option(200, low=1, high=10_000)
    history: int = option(32, low=0, high=10_000)
    generations: int = option(5, low=1, high=100)
    """Bred on predictions, each round."""
    parents: int = option(100, low=2, high=10_000)
    """Selected in each generation."""
    offspring: int = option(200, low=1, high=10_000)
    """Children of each generation."""
    mutation: float = option(0.1, low=0, high=1)
    epsilon: float = option(0.4, low=0, high=1)


Options = TypeVar("Options", bound=GeneticOptions)


@dataclass(frozen=True, slots=True)
class Population:
    """Genotypes, what they stand for, how many constraints that violates, and its predicted fitness."""

    genotypes: Genotypes
    assignments: Assignments
    violations: npt.NDArray[np.int64]
    fitness: Fitness

    def take(self, indices: npt.NDArray[np.intp]) -> Population:
        return Population(
            self.genotypes[indices], self.assignments.take(indices), self.violations[indices], self.fitness[indices]
        )

    def feasible(self) -> Population:
        return self.take(np.flatnonzero(self.violations == 0))

    def __len__(self) -> int:
        return len(self.fitness)


def merged(populations: Sequence[Population]) -> Population:
    """One after the other."""
    return Population(
        np.concatenate([population.genotypes for population in populations]),
        joined([population.assignments for population in populations]),
        np.concatenate([population.violations for population in populations]),
        np.concatenate([population.fitness for population in populations]),
    )


class GeneticStrategy(RoundStrategy[Options]):
    """Breeds on predictions and measures what was met; a subclass says how, and who lives on."""

    _last: Population | None = None

    @abstractmethod
    def bred(self, parents: Population) -> Genotypes:
        """The genotypes of the parents' children."""

    def selected(self, population: Population) -> Population:
        """The parents, and what lives on of a generation beside the children: here, by roulette."""
        return population.take(roulette(self.rng, population.fitness, self.options.parents))

    def survivors(self, children: Population) -> Population:
        """The children that live: here, all of them."""
        return children

    def encoded(self, positions: Positions) -> Genotypes:
        """Genotypes of solutions that were drawn or measured: here, their positions."""
        return positions.astype(np.float64)

    def decoded(self, genotypes: Genotypes) -> Assignments:
        """What genotypes stand for: here, the values at the positions, whatever they violate."""
        return self.encoding.assignments(genotypes.astype(np.int64))

    @cached_property
    def encoding(self) -> Encoding:
        return Encoding(self.solutions)

    def propose(self) -> Assignments:
        if not len(self.history.best(1)):
            return self.unseen.draw(self.rng, self.options.round_size)
        population = self._first_generation()
        met = [population]
        for _ in range(self.options.generations):
            parents = self.selected(population)
            children = self._grown(self.bred(parents))
            met.append(children)
            population = merged([parents, self.survivors(children)])
        self._last = population
        solutions = merged(met).feasible()
        return next_round(self.rng, self.unseen, solutions, self.options.round_size, self.options.epsilon)

    def _first_generation(self) -> Population:
        drawn = self.unseen.draw(self.rng, self.options.population)
        best = self.history.assignments().take(self.history.best(self.options.history))
        starting = joined([drawn, best])
        first = self._rated(self.encoded(self.encoding.positions(starting)), starting)
        if self._last is None:
            return first
        return merged([first, self._rated(self._last.genotypes, self._last.assignments)])

    def _grown(self, genotypes: Genotypes) -> Population:
        return self._rated(genotypes, self.decoded(genotypes))

    def _rated(self, genotypes: Genotypes, assignments: Assignments) -> Population:
        violations = self.encoding.violations(assignments)
        return Population(genotypes, assignments, violations, self._ranking.predict(assignments))

    @cached_property
    def _ranking(self) -> Ranking:
        return self.cost_model if self.cost_model is not None else NearestRanking(self.history, self.encoding.names)


def one_point_children(rng: np.random.Generator, parents: Genotypes, n: int) -> Genotypes:
    """Children of `n` couples."""
    pairs = couples(rng, len(parents), n)
    return one_point(rng, parents[pairs[:, 0]], parents[pairs[:, 1]])


def couples(rng: np.random.Generator, parents: int, n: int) -> npt.NDArray[np.intp]:
    """Positions of two parents for each of `n` children, shape (n, 2); two different ones where there are two."""
    first = rng.integers(parents, size=n)
    second = (first + rng.integers(1, parents, size=n)) % parents if parents > 1 else first
    return np.stack([first, second], axis=1)


def one_point(rng: np.random.Generator, first: Genotypes, second: Genotypes) -> Genotypes:
    """Children that have the first parent's loci up to a random point, and the second's from there on."""
    loci = np.arange(first.shape[1])
    cut = rng.integers(0, first.shape[1] + 1, size=(len(first), 1))
    return np.where(loci < cut, first, second)


def mutated(rng: np.random.Generator, genotypes: Genotypes, others: Genotypes, chance: float) -> Genotypes:
    """Each locus replaced by that of the same row of `others` with some chance."""
    return np.where(rng.random(genotypes.shape) < chance, others, genotypes)


def rescaled(coordinates: Coordinates, sizes: Positions) -> Positions:
    """Coordinates as the nearest positions, those outside of [0, 1] as the first or last one."""
    return np.rint(np.clip(coordinates, 0, 1) * (sizes - 1)).astype(np.int64)
