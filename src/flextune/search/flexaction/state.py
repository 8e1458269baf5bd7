"""The state that FlexAction's network sees: 128 numbers about the space, the measurements, and the best of them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from flextune.csp import constraint as kinds
from flextune.csp.problem import Problem
from flextune.csp.solutions import SolutionSet
from flextune.search.encoding import Encoding
from flextune.search.flexaction.rewards import rank_rewards
from flextune.search.q_learning.transition_memory import Row
from flextune.trial.history import History

STATE_SIZE = 128
_STRUCTURE, _HISTORY, _POPULATION = 24, 40, 64
_ELITE = 16
_ROUNDS = 16
_KINDS = (
    kinds.Prod,
    kinds.Sum,
    kinds.Select,
    kinds.Eq,
    kinds.Ne,
    kinds.Le,
    kinds.Lt,
    kinds.Divides,
    kinds.In,
    kinds.When,
    kinds.Predicate,
)


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a run is.

    `unseen` solutions are left, `open_actions` is the share of the library's actions that leave some; `best_rewards`
    are those of the latest rounds; `stale_rounds` have passed since the best time was found; `spent` is the part of the
    trials that is used up, 0 where nobody knows.
    """

    unseen: int
    open_actions: float
    best_rewards: Sequence[float]
    stale_rounds: int
    spent: float


class StateOfSearch:
    """Makes the states of a space. Every number is about -1 to 1.

    * structure (24): how large the space is and what is left of it, how many variables and constraints of each kind
      there are, how large the domains are, how much of the library is open;
    * history (40): measurements, failures, the spread of the times, and how the latest rounds went;
    * population (64): where among its values each variable is in the 16 best measured assignments, mean and spread
      (from the 33rd on, variables share the places of the first ones).
    """

    def __init__(self, solutions: SolutionSet) -> None:
        self._count = solutions.count
        self._encoding = Encoding(solutions)
        self._structure = _structure(solutions.problem)

    def of(self, history: History, progress: Progress) -> Row:
        left = [math.log2(self._count) / 64, math.log2(1 + progress.unseen) / 64, progress.unseen / self._count]
        parts = (
            _padded([*left, progress.open_actions, *self._structure], _STRUCTURE),
            _padded(_history(history, progress), _HISTORY),
            self._population(history),
        )
        return np.concatenate(parts).astype(np.float32)

    def _population(self, history: History) -> npt.NDArray[np.float64]:
        best = history.assignments().take(history.best(_ELITE))
        found = np.zeros((2, _POPULATION // 2))
        if len(best):
            positions = self._encoding.scaled(self._encoding.positions(best))
            places = np.arange(positions.shape[1]) % found.shape[1]
            np.add.at(found[0], places, 2 * positions.mean(axis=0) - 1)
            np.add.at(found[1], places, positions.std(axis=0))
        return found.ravel()


def _structure(problem: Problem) -> list[float]:
    sizes = np.log2([len(variable.domain) for variable in problem.variables if variable.domain is not None])
    counts = [sum(type(constraint) is kind for constraint in problem.constraints) for kind in _KINDS]
    return [
        len(sizes) / 64,
        (len(problem.variables) - len(sizes)) / 64,
        float(sizes.min()) / 16,
        float(sizes.mean()) / 16,
        float(sizes.max()) / 16,
        *(math.log2(1 + count) / 8 for count in counts),
    ]


def _history(history: History, progress: Progress) -> list[float]:
    secs = history.secs()
    ran = np.isfinite(secs)
    logarithms = np.log2(secs[ran] / secs[ran].min()) if ran.any() else np.zeros(1)
    return [
        math.log2(1 + len(secs)) / 16,
        1 - float(ran.mean()) if len(secs) else 0.0,
        min(1.0, progress.stale_rounds / 16),
        min(1.0, progress.spent),
        *np.minimum(1, np.quantile(logarithms, np.linspace(0, 1, 9)) / 8).tolist(),
        float(rank_rewards(secs, secs).mean()) if len(secs) else 0.0,
        *progress.best_rewards[: -_ROUNDS - 1 : -1],
    ]


def _padded(values: Sequence[float], size: int) -> npt.NDArray[np.float64]:
    return np.pad(np.array(values, dtype=np.float64), (0, size - len(values)))
