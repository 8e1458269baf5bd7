"""FlexAction: deep Q-learning over macro-actions, bundles of constraints that restrict the space before it is sampled.

In a round the network values every macro-action of a library in the state that the search is in, and some are taken
(`Agent.taken`). Each gets its part of the round: of some unmeasured solutions that satisfy it, the best predicted ones.
An action that leaves none is masked by its exact count. What comes back teaches all the actions that it satisfies, the
one it was drawn for among them, and the library evolves. docs/flexaction.md tells the rest.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from flextune.csp.assignment import Assignment, Assignments
from flextune.search.evolution.nearest import NearestRanking
from flextune.search.flexaction.action_spaces import ActionSpaces, Restrictions
from flextune.search.flexaction.agent import Agent, AgentOptions
from flextune.search.flexaction.library import Entry, Library
from flextune.search.flexaction.library_file import library_path, load_library, save_library
from flextune.search.flexaction.rewards import rank_rewards
from flextune.search.flexaction.sources import starting_actions
from flextune.search.flexaction.state import Progress, StateOfSearch
from flextune.search.q_learning.transition_memory import Row
from flextune.search.rounds import RoundStrategy
from flextune.search.strategy import Ranking
from flextune.search.strategy_options import option
from flextune.search.unseen import joined
from flextune.trial.measurement import Measurement

_OPEN_ROUNDS = 4
"""Rounds that may wait for measurements; an older one is closed with those that came."""


@dataclass(frozen=True, slots=True)
class FlexActionOptions(AgentOptions):
    """A round measures `round_size` assignments, each action's the best predicted of `population` samples.

    A library has at most `capacity` macro-actions, of which `start` come from the space; `library` is a file, or a
    folder with a file per space, to keep them in.
    """

    round_size: int = option(8, low=1, high=1024)
    population: int = option(64, low=1, high=100_000)
    start: int = option(48, low=1, high=1024)
    capacity: int = option(64, low=1, high=1024)
    library: str = option("")


@dataclass
class _Round:
    """What was asked for in a state, and what has been told of it."""

    state: Row
    asked: frozenset[Assignment]
    told: dict[Assignment, float] = field(default_factory=dict)


class FlexActionStrategy(RoundStrategy[FlexActionOptions]):
    """Samples the space under constraint bundles that a Q-network chooses; the library of bundles evolves."""

    source = "FlexAction: reinforcement learning over constraint bundles"
    extra = "rl"
    options_type = FlexActionOptions

    def prepare(self) -> None:
        self._path = library_path(self.options.library, self.solutions.problem) if self.options.library else None
        restrictions = Restrictions(self.solutions)
        self.library = Library(self.options.capacity, self._entries(restrictions))
        actions = [None if entry is None else entry.action for entry in self.library.slots]
        self.spaces = ActionSpaces(restrictions, actions)
        self.agent = Agent(self.library, self.spaces, self.options, self.rng)
        self._states = StateOfSearch(self.solutions)
        self._open_rounds: list[_Round] = []
        self._unasked: dict[Assignment, float] = {}
        self._taught: set[Assignment] = set()
        self._best_rewards: list[float] = []
        self._stale_rounds = 0

    def ask(self, n: int) -> Sequence[Assignment]:
        asked = super().ask(n)
        self.spaces.mark(asked)
        return asked

    def tell(self, measurements: Sequence[Measurement]) -> None:
        super().tell(measurements)
        known = self.members(measurements)
        self.spaces.mark(measurement.assignment for measurement in known)
        for measurement in known:
            self._sort_in(measurement)
        for finished in [each for each in self._open_rounds if len(each.told) == len(each.asked)]:
            self._close(finished)

    def propose(self) -> Assignments:
        if not len(self.history.best(1)):
            return self.unseen.draw(self.rng, self.options.round_size)
        for late in self._open_rounds[: 1 - _OPEN_ROUNDS]:
            self._close(late)
        state = self._state()
        if self._unasked:
            self._teach(state, state, self._unasked)
            self._unasked = {}
        chosen = self._sampled(self.agent.taken(state, self.options.round_size))
        if not len(chosen):
            return self.unseen.draw(self.rng, self.options.round_size)
        self._open_rounds.append(_Round(state, frozenset(chosen)))
        return chosen

    def _entries(self, restrictions: Restrictions) -> list[Entry]:
        """Those of the file, as far as they restrict this space; without a file what the space suggests."""
        solutions = restrictions.solutions
        kept = load_library(self._path, solutions.problem) if self._path else None
        if kept is None:
            limit = min(self.options.start, self.options.capacity)
            return [Entry(action) for action in starting_actions(restrictions, limit, self.rng)]
        return [entry for entry in kept if 0 < restrictions.of(entry.action).count < solutions.count]

    def _sort_in(self, measurement: Measurement) -> None:
        """To the round that asked for it; what none did waits for the next round. What is told again is old news."""
        assignment, secs = measurement.assignment, measurement.secs
        if assignment in self._taught:
            return
        told = next((each.told for each in self._open_rounds if assignment in each.asked), self._unasked)
        told[assignment] = secs

    def _state(self) -> Row:
        left = float(self.spaces.open().sum()) / max(1, len(self.library.entries))
        spent = len(self.history) / self.trials if self.trials else 0.0
        progress = Progress(self.unseen.count, left, self._best_rewards, self._stale_rounds, spent)
        return self._states.of(self.history, progress)

    def _sampled(self, slots: Sequence[int]) -> Assignments:
        """Each slot's part of the round; what one cannot fill is left to the next ones."""
        chosen = self.unseen.draw(self.rng, 0)
        for index, slot in enumerate(slots):
            wanted = (self.options.round_size - len(chosen)) // (len(slots) - index)
            drawn = self.spaces.draw(self.rng, slot, max(wanted, self.options.population), chosen)
            chosen = joined([chosen, self._best_predicted(drawn, wanted)])
        return chosen

    def _best_predicted(self, drawn: Assignments, n: int) -> Assignments:
        if len(drawn) <= n:
            return drawn
        return drawn.take(np.argsort(-self._ranking.predict(drawn), kind="stable")[:n])

    @cached_property
    def _ranking(self) -> Ranking:
        names = [v.name for v in self.solutions.problem.variables if v.domain is not None and len(v.domain) > 1]
        return self.cost_model if self.cost_model is not None else NearestRanking(self.history, names)

    def _close(self, finished: _Round) -> None:
        """Learn from the round, and let the library evolve."""
        self._open_rounds.remove(finished)
        if not finished.told:
            return
        secs = np.array(list(finished.told.values()))
        self._stale_rounds = 0 if secs.min() <= self.history.best_secs else self._stale_rounds + 1
        self._best_rewards.append(float(rank_rewards(secs, self.history.secs()).max()))
        self._teach(finished.state, self._state(), finished.told)
        self.agent.evolve(self.solutions.problem, self.history)
        self._save()

    def _teach(self, state: Row, next_state: Row, told: dict[Assignment, float]) -> None:
        self._taught.update(told)
        rows = Assignments.of(list(told), self.solutions.names)
        rewards = rank_rewards(np.array(list(told.values())), self.history.secs())
        self.agent.teach(state, next_state, rows, rewards)

    def _save(self) -> None:
        if self._path is None:
            return
        try:
            save_library(self._path, self.library.entries, self.solutions.problem)
        except OSError as error:
            warnings.warn(
                f"library {self._path} cannot be written ({error.strerror}); the search goes on without it",
                stacklevel=2,
            )
            self._path = None
