"""What FlexAction learns with: a Q-network that values macro-actions, and a library of them that evolves."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from flextune.csp.assignment import Assignments
from flextune.csp.problem import Problem
from flextune.search.flexaction.action_spaces import ActionSpaces
from flextune.search.flexaction.library import Entry, Library
from flextune.search.flexaction.macro_actions import conjunction
from flextune.search.flexaction.state import STATE_SIZE
from flextune.search.q_learning.q_network import DEVICES, Learning, QNetworks
from flextune.search.q_learning.transition_memory import Batch, Replay, Row, Transition
from flextune.search.strategy_options import StrategyOptions, option
from flextune.trial.history import History

_HIDDEN = (256, 256)
_SYNC_STEPS = 100
_ELITE = 16
_MOST_PARENTS = 6


@dataclass(frozen=True, slots=True)
class AgentOptions(StrategyOptions):
    """`actions` macro-actions share a round; `epsilon` is the part taken at random, times `decay` after every round.

    After a round the network takes `steps` steps, each with a `batch` out of `replay` transitions, and `combine`
    attempts are made to add a combined action.
    """

    actions: int = option(4, low=1, high=1024)
    epsilon: float = option(0.3, low=0, high=1)
    decay: float = option(0.995, low=0, high=1)
    discount: float = option(0.95, low=0, high=1)
    """Of the reward that follows a step later."""
    replay: int = option(10_000, low=1, high=10_000_000)
    batch: int = option(64, low=1, high=4096)
    steps: int = option(16, low=0, high=1000)
    combine: int = option(2, low=0, high=64)
    device: str = option("auto", choices=DEVICES)
    """Where the network computes."""


class Agent:
    """Takes actions, learns from what they earn, and changes the library. An action's value is its slot's output."""

    def __init__(self, library: Library, spaces: ActionSpaces, options: AgentOptions, rng: np.random.Generator) -> None:
        self._library = library
        self._spaces = spaces
        self._options = options
        self._rng = rng
        self._rounds = 0
        self.replay = Replay(options.replay)
        widths = (STATE_SIZE, *_HIDDEN, len(library.slots))
        self.network = QNetworks(
            1, widths, Learning(options.discount, sync_steps=_SYNC_STEPS, double=True), rng=rng, device=options.device
        )
        self.network.start_at([entry.merit if entry else 0.0 for entry in library.slots])

    @property
    def epsilon(self) -> float:
        """The part of the coming round's actions that is taken at random."""
        return self._options.epsilon * self._options.decay**self._rounds

    def values(self, state: Row) -> npt.NDArray[np.float64]:
        """The value of each slot."""
        found: npt.NDArray[np.float64] = self.network.values(state[None, None])[0, 0]
        return found

    def taken(self, state: Row, most: int) -> list[int]:
        """The slots whose actions share the next round, all of them open; at most `most`.

        Up to half are actions that have earned no reward yet; of the others each is the one of most value, or with
        probability epsilon any.
        """
        size, left = min(most, self._options.actions), np.flatnonzero(self._spaces.open()).tolist()
        taken = [slot for slot in left if not self._library.entry(slot).rewards][: math.ceil(size / 2)]
        left = [slot for slot in left if slot not in taken]
        values = self.values(state)
        while left and len(taken) < size:
            explores = self._rng.random() < self.epsilon
            slot = left[int(self._rng.integers(len(left)))] if explores else max(left, key=values.__getitem__)
            left.remove(slot)
            taken.append(slot)
        for slot in taken:
            self._library.slots[slot] = self._library.entry(slot).used()
        self._rounds += 1
        return taken

    def teach(self, state: Row, next_state: Row, measured: Assignments, rewards: npt.NDArray[np.float64]) -> None:
        """Each measurement is a transition of every action that it satisfies; all are kept, and the network trained."""
        satisfied, allowed = self._spaces.satisfied(measured), self._spaces.open()
        for slot in np.flatnonzero(satisfied.any(axis=1)).tolist():
            earned = rewards[satisfied[slot]]
            self._library.slots[slot] = self._library.entry(slot).rewarded(earned)
            for reward in earned.tolist():
                self.replay.add(Transition(state, slot, reward, next_state, allowed))
        self._train()

    def evolve(self, problem: Problem, history: History) -> None:
        """Some attempts to put a combined action in the place of a bad one; only one of them may take a compilation."""
        may_compile = True
        for _ in range(self._options.combine):
            elite = self._rng.random() < 0.5
            parents = self._elite_parents(history) if elite else self._library.good_pair(self._rng)
            may_compile = self._combine(problem, parents, may_compile)
        self._spaces.restrictions.keep(entry.action for entry in self._library.entries)

    def _train(self) -> None:
        rows, actions = self._options.batch, len(self._library.slots)
        for _ in range(self._options.steps if len(self.replay) else 0):
            self.network.train(Batch.of(self.replay.sample(self._rng, rows), rows, STATE_SIZE, actions))

    def _elite_parents(self, history: History) -> Sequence[int]:
        """Some of the actions from the space itself that one of the best measured assignments satisfies."""
        best = history.best(_ELITE)
        if not len(best):
            return ()
        point = history.assignments().take(self._rng.choice(best, size=1))
        satisfied = np.flatnonzero(self._spaces.satisfied(point)[:, 0]).tolist()
        simple = [slot for slot in satisfied if not self._library.entry(slot).action.is_combined]
        size = int(self._rng.integers(2, _MOST_PARENTS + 1))
        return tuple(self._rng.choice(simple, size=min(size, len(simple)), replace=False).tolist())

    def _combine(self, problem: Problem, parents: Sequence[int], may_compile: bool) -> bool:
        """Put the conjunction of the parents into the library, if it is new and leaves something that they do not.

        Whether another attempt may compile.
        """
        child = (
            conjunction(problem, [self._library.entry(slot).action for slot in parents]) if len(parents) > 1 else None
        )
        if child is None or child in self._library:
            return may_compile
        slot = self._library.free_slot(np.flatnonzero(~self._spaces.open()).tolist(), parents)
        quick = self._spaces.restrictions.is_quick(child)
        if slot is None or not (quick or may_compile):
            return may_compile
        if 0 < self._spaces.restrictions.of(child).count < min(map(self._spaces.count, parents)):
            self._put(slot, Entry(child), parents)
        return may_compile and quick

    def _put(self, slot: int, entry: Entry, parents: Sequence[int]) -> None:
        """What was learned of the slot's former action is forgotten; the value starts as the parents' mean."""
        self._library.slots[slot] = entry
        self._spaces.put(slot, entry.action)
        self.replay.forget(lambda transition: transition.action == slot)
        self.network.inherit(slot, parents)
