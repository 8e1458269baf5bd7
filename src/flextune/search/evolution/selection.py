"""How evolutionary algorithms select: by roulette, and the round that is measured from all that was met."""

from __future__ import annotations

from typing import Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from flextune.csp.assignment import Assignments
from flextune.search.unseen import Unseen, joined
from flextune.trial.history import Fitness

_LEAST_FITNESS = 1e-6
"""Added in a roulette, so that it turns also when everything has failed."""

Self = TypeVar("Self", bound="Rated")


class Rated(Protocol):
    """Assignments with their predicted fitness."""

    @property
    def assignments(self) -> Assignments: ...

    @property
    def fitness(self) -> Fitness: ...

    def take(self: Self, indices: npt.NDArray[np.intp]) -> Self: ...

    def __len__(self) -> int: ...


def roulette(rng: np.random.Generator, fitness: Fitness, n: int, replace: bool = True) -> npt.NDArray[np.intp]:
    """Positions drawn with a probability proportional to their fitness; negative predictions count as none."""
    if n == 0:
        return np.empty(0, dtype=np.intp)
    weights = np.maximum(fitness, 0) + _LEAST_FITNESS
    return rng.choice(len(fitness), size=n, replace=replace, p=weights / weights.sum())


def next_round(rng: np.random.Generator, unseen: Unseen, met: Rated, size: int, epsilon: float) -> Assignments:
    """A round of `size` from all that was met and is unmeasured, filled up at random.

    Those predicted best, and by roulette `epsilon` of it.
    """
    fresh = met.take(rng.permutation(unseen.fresh(met.assignments)))
    selected = min(size, len(fresh))
    order = np.argsort(-fresh.fitness, kind="stable")
    best, others = np.split(order, [round(selected * (1 - epsilon))])
    spun = others[roulette(rng, fresh.fitness[others], selected - len(best), replace=False)]
    chosen = fresh.assignments.take(np.concatenate([best, spun]))
    return joined([chosen, unseen.draw(rng, size - selected, besides=chosen)])
