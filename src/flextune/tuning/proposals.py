"""What is tried next: what the user has queued, then what the strategy proposes."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence

from flextune.csp.assignment import Assignment
from flextune.search.strategy import SearchStrategy
from flextune.trial.measurement import Measurement
from flextune.tuning.goals import Goals
from flextune.tuning.pareto_told import ParetoTold
from flextune.tuning.positive import PositiveTold


class Proposals:
    """A queue before a strategy; no configuration comes twice."""

    def __init__(self, strategy: SearchStrategy, goals: Goals, queued: Iterable[Assignment] = ()) -> None:
        self._strategy = strategy
        self._told = ParetoTold(strategy, goals) if goals.several else PositiveTold(strategy)
        self._queued = deque(dict.fromkeys(queued))
        self._seen: set[Assignment] = set()

    def next(self) -> Assignment | None:
        """A configuration that was neither proposed nor told before; None when there is none left."""
        while self._queued:
            assignment = self._queued.popleft()
            if assignment not in self._seen:
                self._seen.add(assignment)
                return assignment
        while asked := self._strategy.ask(1):
            if asked[0] not in self._seen:
                self._seen.add(asked[0])
                return asked[0]
        return None

    def tell(self, measurements: Sequence[Measurement]) -> None:
        """Learn from these, whoever proposed them."""
        self._seen.update(each.assignment for each in measurements)
        if measurements:
            self._told.tell(measurements)
