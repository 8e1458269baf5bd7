"""A walk downhill: from neighbour to faster neighbour, and away from where no neighbour is faster."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass

import numpy as np

from flextune.csp.assignment import Assignment, Assignments
from flextune.csp.solutions import SolutionSet
from flextune.search.encoding import Encoding
from flextune.search.unseen import Unseen
from flextune.trial.history import History


@dataclass(frozen=True, slots=True)
class WalkOptions:
    """After a local optimum the walk goes on `jump` random moves from the best one, or, with probability `anew`,
    somewhere else."""

    jump: int = 3
    anew: float = 0.2


class Walk:
    """First-improvement local search over the neighbours of a set's members, restarted around the best."""

    def __init__(
        self, solutions: SolutionSet, history: History, unseen: Unseen, encoding: Encoding, options: WalkOptions
    ) -> None:
        self._solutions = solutions
        self._history = history
        self._unseen = unseen
        self._encoding = encoding
        self._options = options
        self._base: Assignment | None = None
        self._last: Assignment | None = None
        self._queue: deque[Assignment] = deque()

    def begin(self, base: Assignment) -> None:
        """Go on from here."""
        self._base, self._last = base, None
        self._queue.clear()

    def step(self, rng: np.random.Generator) -> Assignments:
        """The next one to measure, unseen; none if there is none left. The walk goes by what was told of the last."""
        if self._last is not None and self._secs(self._last) < self._secs(self._base):
            self._base = self._last
            self._queue = self._unseen_neighbours(self._base, rng)
        elif self._base is not None and self._last is None:
            self._queue = self._unseen_neighbours(self._base, rng)
        while self._queue:
            self._last = self._queue.popleft()
            if self._last in self._unseen:
                return Assignments.of([self._last], self._solutions.names)
        return self._restarted(rng)

    def _secs(self, assignment: Assignment | None) -> float:
        known = None if assignment is None else self._history.secs_of(assignment)
        return math.inf if known is None else known

    def _unseen_neighbours(self, base: Assignment, rng: np.random.Generator) -> deque[Assignment]:
        near = self._solutions.neighbours(base)
        return deque(near.take(rng.permutation(self._unseen.fresh(near))))

    def _restarted(self, rng: np.random.Generator) -> Assignments:
        found = self._beside_the_best(rng)
        if found is None or not len(found):
            found = self._unseen.draw(rng, 1)
        self._base, self._last = None, found[0] if len(found) else None
        return found

    def _beside_the_best(self, rng: np.random.Generator) -> Assignments | None:
        best = self._history.best(1)
        if not len(best) or rng.random() < self._options.anew:
            return None
        place = self._history.assignments().take(best)
        for _ in range(self._options.jump):
            place = self._encoding.moves(place, rng)
        return place.take(self._unseen.fresh(place))
