"""A library of macro-actions that evolves: good ones are combined, bad ones dropped (FlexAction)."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from flextune.search.flexaction.macro_actions import MacroAction

_PRIOR_REWARDS = 2
"""A mean reward counts as if so many rewards of 0 had come before: few prove little."""
_LEAST_REWARDS = 2
"""What has earned fewer is not dropped yet."""
_TOURNAMENT = 3


@dataclass(frozen=True, slots=True)
class Entry:
    """A macro-action, how often it was used, how many rewards it earned, and their mean."""

    action: MacroAction
    uses: int = 0
    rewards: int = 0
    mean_reward: float = 0.0

    @property
    def merit(self) -> float:
        """The mean reward, nearer to 0 the fewer rewards there are."""
        return self.mean_reward * self.rewards / (self.rewards + _PRIOR_REWARDS)

    def used(self) -> Entry:
        return replace(self, uses=self.uses + 1)

    def rewarded(self, rewards: npt.NDArray[np.float64]) -> Entry:
        total = self.mean_reward * self.rewards + float(rewards.sum())
        count = self.rewards + len(rewards)
        return replace(self, rewards=count, mean_reward=total / count) if count else self


class Library:
    """At most `capacity` entries, those of most merit; an entry keeps its slot until another is put there."""

    def __init__(self, capacity: int, entries: Iterable[Entry]) -> None:
        kept = sorted(entries, key=lambda entry: -entry.merit)[:capacity]
        self.slots: list[Entry | None] = [*kept, *[None] * (capacity - len(kept))]

    @property
    def entries(self) -> Sequence[Entry]:
        return [entry for entry in self.slots if entry is not None]

    def entry(self, slot: int) -> Entry:
        """That of a slot that is not empty."""
        entry = self.slots[slot]
        assert entry is not None, f"slot {slot} is empty"
        return entry

    def __contains__(self, action: MacroAction) -> bool:
        """Whether an entry says the same."""
        return any(entry.action.key == action.key for entry in self.entries)

    def good_pair(self, rng: np.random.Generator) -> tuple[int, ...]:
        """The slots of two entries that have earned rewards, each the best of three at random; none if too few have."""
        tried = [slot for slot, entry in enumerate(self.slots) if entry is not None and entry.rewards]
        if len(tried) < 2:
            return ()
        first = self._best_of_some(rng, tried)
        return first, self._best_of_some(rng, [slot for slot in tried if slot != first])

    def free_slot(self, used_up: Collection[int], spared: Collection[int]) -> int | None:
        """Where a new entry may go: an empty slot, one whose action is `used_up`, or the one of least merit.

        None where every entry is spared, hardly tried, or of as much merit as half of the others.
        """
        if None in self.slots:
            return self.slots.index(None)
        removable = [slot for slot in range(len(self.slots)) if slot not in spared]
        tried = [slot for slot in removable if self.entry(slot).rewards >= _LEAST_REWARDS]
        worst = min([slot for slot in removable if slot in used_up] or tried, key=self._merit, default=None)
        if worst is None or worst in used_up:
            return worst
        return worst if self._merit(worst) < np.median([entry.merit for entry in self.entries]) else None

    def _best_of_some(self, rng: np.random.Generator, slots: Sequence[int]) -> int:
        drawn = rng.choice(len(slots), size=min(_TOURNAMENT, len(slots)), replace=False)
        return max((slots[int(index)] for index in drawn), key=self._merit)

    def _merit(self, slot: int) -> float:
        return self.entry(slot).merit
