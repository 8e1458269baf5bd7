"""CGA, the constrained genetic algorithm of Heron (ASPLOS 2023, section 5).

Crossover and mutation do not touch values: a child is a solution of the space restricted by IN(v, {first parent's v,
second parent's v}) for the most important variables v, one of them left out at random. So every child is feasible by
construction, and what made its parents fast is kept.

A round of 32 measurements: 200 random solutions and the 32 best measured ones are the first generation; five times, 100
parents are selected by roulette and have 200 children, who with their parents are the next generation; of all the
unmeasured assignments met on the way, 60 % of the round are those predicted best, 40 % are selected by roulette.

Where this differs from the paper, or the paper leaves it open:

* 20 % are counted of all variables, but key variables are those with a domain of their own. What the model finds
  important about a variable that follows from others (a product of tile sizes) is shared among those.
* Until something has run there is nothing to select by: a round is then a uniform draw.
* Without a cost model, fitness is predicted from the nearest measured assignments, and a variable is as important as
  its main effect on the measured fitness (see `NearestRanking`). `keys=random` takes the variables at random, as the
  paper's released code does, with or without a model.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from flextune.csp.assignment import Assignments
from flextune.csp.constraint import In
from flextune.search.evolution.importance import on_chosen
from flextune.search.evolution.nearest import NearestRanking
from flextune.search.evolution.selection import next_round, roulette
from flextune.search.rounds import RoundStrategy
from flextune.search.strategy import Ranking
from flextune.search.strategy_options import StrategyOptions, option
from flextune.search.unseen import joined
from flextune.trial.history import Fitness


@dataclass(frozen=True, slots=True)
class CgaOptions(StrategyOptions):
    """The names follow the module's description; `epsilon` is the part of a round that is selected by roulette."""

    round_size: int = option(32, low=1, high=1024)
    """Assignments measured before the next round is bred."""
    population: int = option(200, low=1, high=10_000)
    """Random solutions of the first generation."""
    history: int = option(32, low=0, high=10_000)
    """Best measured ones of the first generation."""
    generations: int = option(5, low=1, high=100)
    """Bred on predictions, each round."""
    parents: int = option(100, low=2, high=10_000)
    """Selected by roulette in each generation."""
    offspring: int = option(200, low=1, high=10_000)
    """Children of each generation."""
    key_fraction: float = option(0.2, low=0, high=1)
    """The part of the variables that children inherit."""
    epsilon: float = option(0.4, low=0, high=1)
    keys: str = option("importance", choices=("importance", "random"))
    """Whether these are the most important ones."""


@dataclass(frozen=True, slots=True)
class Generation:
    """Assignments with their predicted fitness."""

    assignments: Assignments
    fitness: Fitness

    def take(self, indices: npt.NDArray[np.intp]) -> Generation:
        return Generation(self.assignments.take(indices), self.fitness[indices])

    def __len__(self) -> int:
        return len(self.fitness)


def merged(generations: Sequence[Generation]) -> Generation:
    assignments = joined([generation.assignments for generation in generations])
    return Generation(assignments, np.concatenate([generation.fitness for generation in generations]))


class CgaStrategy(RoundStrategy[CgaOptions]):
    """Constrained genetic algorithm: breeds by restricting the space to the parents' values of key variables."""

    options_type = CgaOptions
    source = "Heron, ASPLOS 2023, section 5"

    def propose(self) -> Assignments:
        if not len(self.history.best(1)):
            return self.unseen.draw(self.rng, self.options.round_size)
        keys = self._key_variables()
        generation = self._first_generation()
        met = [generation]
        for _ in range(self.options.generations):
            parents = generation.take(roulette(self.rng, generation.fitness, self.options.parents))
            children = self._children(parents, keys)
            generation = merged([parents, children])
            met.append(children)
        return next_round(self.rng, self.unseen, merged(met), self.options.round_size, self.options.epsilon)

    def _first_generation(self) -> Generation:
        drawn = self.unseen.draw(self.rng, self.options.population)
        best = self.history.assignments().take(self.history.best(self.options.history))
        return self._rated(joined([drawn, best]))

    def _rated(self, assignments: Assignments) -> Generation:
        return Generation(assignments, self._ranking.predict(assignments))

    @cached_property
    def _ranking(self) -> Ranking:
        return self.cost_model if self.cost_model is not None else NearestRanking(self.history, self._open_names)

    @cached_property
    def _open_names(self) -> tuple[str, ...]:
        """The variables that can be chosen: with a domain, and not one value only."""
        chosen = (variable.name for variable in self.solutions.problem.variables if variable.domain is not None)
        return tuple(name for name in chosen if len(self.solutions.marginal(name)) > 1)

    def _key_variables(self) -> tuple[str, ...]:
        """The most important of the variables; those that nothing is known about come last, in random order."""
        names = [self._open_names[index] for index in self.rng.permutation(len(self._open_names))]
        if self.options.keys == "importance":
            importance = on_chosen(self._ranking.importance(), self.solutions.problem)
            names.sort(key=lambda name: -importance.get(name, 0.0))
        return tuple(names[: math.ceil(self.options.key_fraction * len(self.solutions.names))])

    def _children(self, parents: Generation, keys: Sequence[str]) -> Generation:
        """Each a solution with one of its parents' values in all key variables but one."""
        couples = [
            parents.assignments.take(self.rng.choice(len(parents.assignments), size=2, replace=False))
            for _ in range(self.options.offspring)
        ]
        bred = [[In(name, couple.columns[name].tolist()) for name in self._mutated(keys)] for couple in couples]
        return self._rated(self.solutions.sample_each(self.rng, bred))

    def _mutated(self, keys: Sequence[str]) -> list[str]:
        """The key variables without one of them."""
        dropped = self.rng.integers(max(1, len(keys)))
        return [name for index, name in enumerate(keys) if index != dropped]
