"""What a run has spent and found: answers evaluations from the record, charges for them, and says when it is over."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from benchmarks.leaderboard.baseline import Numbers
from benchmarks.leaderboard.space import RecordedSpace
from flextune.errors import UsageError

FREE_FACTOR = 25
"""So many free requests per unit of budget, and a run that gets nowhere ends."""


class Finished(BaseException):
    """The run is over. Not an `Exception`: a tuner under test must not take it for a failed configuration."""


@dataclass(frozen=True, slots=True)
class Charge:
    """What is charged to a run that may spend `budget` units.

    By default a unit is one evaluation. With `by_seconds` it is the seconds that a mean evaluation of the space takes:
    every evaluation is charged what building and timing it took when it was recorded, and the run is charged the wall
    clock that it thinks itself. With `noise` = m > 0 an evaluation is the mean of m recorded repeats drawn at random.
    """

    budget: int
    by_seconds: bool = False
    noise: int = 0

    def __post_init__(self) -> None:
        if self.budget < 1 or self.noise < 0:
            raise UsageError(f"the budget must be at least 1 and the noise at least 0, got {self}")


@dataclass(frozen=True, slots=True)
class Curve:
    """The true time in seconds of the best so far (`incumbents`) from each of the moments `spent` on, in units."""

    spent: Numbers
    incumbents: Numbers

    def at(self, points: Numbers) -> Numbers:
        """After so many units; NaN before the first success."""
        last = np.searchsorted(self.spent, points, side="right") - 1
        return np.where(last >= 0, np.append(self.incumbents, np.nan)[last], np.nan)


class Ledger:
    """One run's account with a recorded space.

    The first evaluation of a row is charged, also when it fails. A repeated one is answered for nothing, as a cache of
    results would; with noise it is a new measurement, charged again, and the best so far is the row with the lowest
    mean of its measurements, judged by its true time. What is outside the space is for nothing too, since a tuner can
    check its own constraints.
    """

    def __init__(
        self,
        space: RecordedSpace,
        charge: Charge,
        rng: np.random.Generator,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self.space = space
        self.charge = charge
        self.thinking_secs = 0.0
        self.evaluations = 0
        self.requests = 0
        self._rng = rng
        self._clock = clock
        self.unit_secs = float(space.cost_secs.mean())
        self._spent = 0.0
        self._free = 0
        self._values: dict[int, list[float]] = {}
        self._means: dict[int, float] = {}
        self._incumbent = -1
        self._spents: list[float] = []
        self._incumbents: list[float] = []
        self._since = clock()

    def measure(self, row: int | None) -> float | None:
        """Seconds of a row, None where it fails or is no member. Raises `Finished` when the budget is spent."""
        self.requests += 1
        self._charge_thinking()
        if row is None:
            answer = self._for_free(None)
        elif row in self._values and not self.charge.noise:
            answer = self._for_free(self._means.get(row))
        else:
            answer = self._evaluate(row)
        self._since = self._clock()
        return answer

    @property
    def curve(self) -> Curve:
        return Curve(np.array(self._spents), np.array(self._incumbents))

    def _charge_thinking(self) -> None:
        thought = self._clock() - self._since
        self.thinking_secs += thought
        if self.charge.by_seconds:
            self._spend(thought / self.unit_secs)

    def _spend(self, units: float) -> None:
        if self._spent + units > self.charge.budget:
            raise Finished
        self._spent += units

    def _for_free(self, answer: float | None) -> float | None:
        self._free += 1
        if self._free >= FREE_FACTOR * self.charge.budget:
            raise Finished
        return answer

    def _evaluate(self, row: int) -> float | None:
        self._spend(self.space.cost_secs[row] / self.unit_secs if self.charge.by_seconds else 1.0)
        self.evaluations += 1
        values = self._values.setdefault(row, [])
        repeats = self.space.repeats[row]
        if not len(repeats):
            return None
        noise = self.charge.noise
        values.append(float(self._rng.choice(repeats, noise).mean() if noise else self.space.secs[row]))
        self._means[row] = sum(values) / len(values)
        self._update_incumbent(row)
        return values[-1]

    def _update_incumbent(self, row: int) -> None:
        before = self._means.get(self._incumbent, math.inf)
        if row == self._incumbent:
            self._incumbent = min(self._means, key=self._means.__getitem__)
        elif self._means[row] < before:
            self._incumbent = row
        true_secs = float(self.space.secs[self._incumbent])
        self._spents.append(self._spent)
        self._incumbents.append(true_secs)
        if true_secs == self.space.optimum_secs and not self.charge.noise:
            raise Finished  # nothing is left to find
