"""FlexTensor (Zheng et al., ASPLOS 2020, section 5.1): start points by annealing, then steps from them.

A start point is an evaluated point p: one taken at random is accepted with probability exp(-gamma (E* - E_p) / E*),
where E is the performance (1 / time) and E* the best; otherwise the best one is taken, as the released code does. From
there the P-method tries every direction and the Q-method those that it has learned to choose. Failed points are no
start points.

A step along a direction goes to its nearest unmeasured neighbour, so that coming back to a start point goes further.
While nothing has run, and where all neighbours of several start points are measured, a round is a uniform draw. The
paper's directions are (i, j) of a split; the neighbours of `SolutionSet` are what they become in a constrained space.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

import numpy as np

from flextune.csp.assignment import Assignment, Assignments
from flextune.search.flextensor.directions import Direction, Directions
from flextune.search.rounds import RoundStrategy
from flextune.search.strategy_options import StrategyOptions, option
from flextune.trial.history import Fitness

_START_TRIES = 8


@dataclass(frozen=True, slots=True)
class FlexTensorOptions(StrategyOptions):
    """`warm_up` random points are measured first; `gamma` is the annealing's: larger keeps nearer to the best."""

    warm_up: int = option(16, low=1, high=1024)
    gamma: float = option(0.5, low=0, high=1000)


Options = TypeVar("Options", bound=FlexTensorOptions)


def annealed_choice(rng: np.random.Generator, fitness: Fitness, gamma: float) -> int:
    """The position of a start point, given every evaluated point's performance divided by the best one."""
    candidate = int(rng.integers(len(fitness)))
    accepted = rng.random() <= math.exp(-gamma * (1 - fitness[candidate]))
    return candidate if accepted else int(np.argmax(fitness))


@dataclass(frozen=True, slots=True)
class Surroundings:
    """The unmeasured neighbours of a start point that are nearest in each direction."""

    start: Assignment
    start_secs: float
    neighbours: Assignments
    nearest: Mapping[Direction, int]


class FlexTensorBase(RoundStrategy[Options]):
    """What both methods share: warm-up, start points, and what is left around them."""

    @abstractmethod
    def chosen(self, around: Surroundings) -> list[Direction]:
        """The directions to try, at least one."""

    def propose(self) -> Assignments:
        missing = self.options.warm_up - len(self.history)
        if missing > 0:
            return self.unseen.draw(self.rng, missing)
        around = self._surroundings()
        if around is None:
            return self.unseen.draw(self.rng, self.options.warm_up)
        tried = [around.nearest[direction] for direction in self.chosen(around)]
        return around.neighbours.take(np.array(tried, dtype=np.intp))

    @cached_property
    def directions(self) -> Directions:
        return Directions(self.solutions.problem)

    def _surroundings(self) -> Surroundings | None:
        """Those of an annealed start point that has unmeasured neighbours; None if several draws found none."""
        fitness = self.history.fitness()
        ran = np.flatnonzero(fitness > 0)
        if not len(ran):
            return None
        points, secs = self.history.assignments(), self.history.secs()
        for _ in range(_START_TRIES):
            index = int(ran[annealed_choice(self.rng, fitness[ran], self.options.gamma)])
            start = points[index]
            neighbours = self.solutions.neighbours(start)
            fresh = neighbours.take(self.unseen.fresh(neighbours))
            if len(fresh):
                return Surroundings(start, float(secs[index]), fresh, self.directions.by_direction(start, fresh))
        return None


class FlexTensorPStrategy(FlexTensorBase[FlexTensorOptions]):
    """Steps in every direction from start points chosen by annealing."""

    source = "FlexTensor, ASPLOS 2020, section 5.1, P-method"
    options_type = FlexTensorOptions

    def chosen(self, around: Surroundings) -> list[Direction]:
        return list(around.nearest)
