"""Strategies that work in rounds: propose some assignments, hand them out, and learn before they propose again."""

from __future__ import annotations

from abc import abstractmethod
from collections import deque
from collections.abc import Sequence
from itertools import compress
from typing import TYPE_CHECKING, Generic, TypeVar, cast

import numpy as np

from flextune.csp.assignment import Assignment, Assignments
from flextune.errors import UsageError
from flextune.search.strategy import Ranking, SearchStrategy
from flextune.search.strategy_options import StrategyOptions
from flextune.search.unseen import Unseen
from flextune.trial.history import History

if TYPE_CHECKING:
    from flextune.csp.solutions import SolutionSet
    from flextune.trial.measurement import Measurement

Options = TypeVar("Options", bound=StrategyOptions)


class RoundStrategy(SearchStrategy, Generic[Options]):
    """Keeps the contract of `SearchStrategy` for a subclass that only says what the next round is.

    An answer of `ask` never reaches over the end of a round, so that a round starts with everything told that a caller
    could have told.
    """

    def __init__(
        self,
        solutions: SolutionSet,
        *,
        rng: np.random.Generator,
        default: Assignment | None = None,
        cost_model: Ranking | None = None,
        options: Options | None = None,
        trials: int | None = None,
    ) -> None:
        if default is not None and default not in solutions:
            raise UsageError(f"the default assignment is not in the space: {default}")
        self.solutions = solutions
        self.rng = rng
        self.cost_model = cost_model
        self.options: Options = options if options is not None else cast(Options, self.options_type())
        self.trials = trials
        self.history = History(solutions.names)
        self.unseen = Unseen(solutions)
        self._asked: set[Assignment] = set()
        self._queue: deque[Assignment] = deque(() if default is None else (default,))
        self.prepare()

    def prepare(self) -> None:
        """What a subclass makes of the space and its options before the first round: here, nothing."""

    @abstractmethod
    def propose(self) -> Assignments:
        """The next round: distinct unseen solutions, at least one of them as long as there are any."""

    def ask(self, n: int) -> Sequence[Assignment]:
        if n < 1:
            raise UsageError(f"ask for at least one assignment, got {n}")
        if not self._queue and self.unseen.count:
            self._queue.extend(self.propose())
        asked = [self._queue.popleft() for _ in range(min(n, len(self._queue)))]
        self.unseen.mark(asked)
        self._asked.update(asked)
        return asked

    def tell(self, measurements: Sequence[Measurement]) -> None:
        known = self.members(measurements)
        self.unseen.mark(measurement.assignment for measurement in known)
        self._queue = deque(assignment for assignment in self._queue if assignment in self.unseen)
        self.history.add(known)
        if self.cost_model is not None:
            self.cost_model.update(known)

    def members(self, measurements: Sequence[Measurement]) -> list[Measurement]:
        """Those of assignments in the set."""
        others = [each.assignment for each in measurements if each.assignment not in self._asked]
        inside = set(compress(others, self.solutions.holds_each(others)))
        return [each for each in measurements if each.assignment in self._asked or each.assignment in inside]
