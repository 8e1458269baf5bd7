"""Strategies that are written as in the books: a loop that evaluates one point, and goes on from what it learns."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Generator

from flextune.csp.assignment import Assignment, Assignments
from flextune.search.rounds import Options, RoundStrategy

Evaluations = Generator[Assignment, float, None]
"""Yields a solution to be evaluated, and is sent its time in seconds, infinity for a failure."""


class SequentialStrategy(RoundStrategy[Options]):
    """Rounds of one, whose subclass says in `evaluations` what is evaluated next and what follows from its time.

    What is known already is answered at once. While a caller asks ahead, what it gets besides is drawn at random.
    """

    _running: Evaluations | None = None
    _wanted: Assignment | None = None

    @abstractmethod
    def evaluations(self) -> Evaluations:
        """The search. It begins anew when it ends, and may evaluate known solutions, but must get to an unseen one."""

    def propose(self) -> Assignments:
        while True:
            if self._running is None or self._wanted is None:
                self._running = self.evaluations()
                self._wanted = next(self._running, None)
            elif (secs := self.history.secs_of(self._wanted)) is not None:
                self._wanted = self._sent(self._running, secs)
            elif self._wanted in self.unseen:
                return Assignments.of([self._wanted], self.solutions.names)
            else:  # asked for, but not told yet
                return self.unseen.draw(self.rng, 1)

    def _sent(self, running: Evaluations, secs: float) -> Assignment | None:
        try:
            return running.send(secs)
        except StopIteration:
            return None
