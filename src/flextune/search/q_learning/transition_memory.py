"""What Q-networks learn from: transitions, and the memory that keeps the latest of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields

import numpy as np
import numpy.typing as npt

Row = npt.NDArray[np.float32]
Allowed = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Transition:
    """In `state`, `action` was taken, earned `reward` and led to `next_state`, in which some actions are `allowed`."""

    state: Row
    action: int
    reward: float
    next_state: Row
    allowed: Allowed


@dataclass(frozen=True, slots=True)
class Batch:
    """Transitions of several networks as arrays (networks, rows, ...); rows with weight 0 are padding."""

    state: npt.NDArray[np.float32]
    """Before the action."""
    action: npt.NDArray[np.int64]
    """What was done, by number."""
    reward: npt.NDArray[np.float32]
    """What came of it."""
    next_state: npt.NDArray[np.float32]
    """After it."""
    allowed: Allowed
    """The actions that are possible in the next state."""
    weight: npt.NDArray[np.float32]
    """Of the row in the loss."""

    @classmethod
    def of(cls, transitions: Sequence[Transition], rows: int, inputs: int, actions: int) -> Batch:
        """The batch of one network, padded to `rows`."""
        batch = cls(
            np.zeros((1, rows, inputs), dtype=np.float32),
            np.zeros((1, rows), dtype=np.int64),
            np.zeros((1, rows), dtype=np.float32),
            np.zeros((1, rows, inputs), dtype=np.float32),
            np.zeros((1, rows, actions), dtype=bool),
            np.zeros((1, rows), dtype=np.float32),
        )
        for row, transition in enumerate(transitions):
            for name in ("state", "action", "reward", "next_state", "allowed"):
                getattr(batch, name)[0, row] = getattr(transition, name)
            batch.weight[0, row] = 1
        return batch

    @classmethod
    def stacked(cls, batches: Sequence[Batch]) -> Batch:
        """One batch for several networks."""
        return cls(*(np.concatenate([getattr(batch, field.name) for batch in batches]) for field in fields(cls)))


class Replay:
    """The latest `capacity` transitions."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._kept: list[Transition] = []
        self._oldest = 0

    def __len__(self) -> int:
        return len(self._kept)

    @property
    def transitions(self) -> Sequence[Transition]:
        """All of them, oldest first."""
        return [*self._kept[self._oldest :], *self._kept[: self._oldest]]

    def add(self, transition: Transition) -> None:
        if len(self._kept) < self._capacity:
            self._kept.append(transition)
            return
        self._kept[self._oldest] = transition
        self._oldest = (self._oldest + 1) % self._capacity

    def sample(self, rng: np.random.Generator, n: int) -> Sequence[Transition]:
        """`n` of them, uniformly with replacement; none where there are none."""
        return [self._kept[index] for index in rng.integers(len(self._kept), size=n)] if self._kept else []

    def forget(self, unwanted: Callable[[Transition], bool]) -> None:
        """Keep all but the unwanted ones."""
        self._kept, self._oldest = [each for each in self.transitions if not unwanted(each)], 0
