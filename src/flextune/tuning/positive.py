"""Numbers of any sign for strategies, which compare times by their ratio and so need positive ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from flextune.csp.assignment import Assignment
from flextune.search.strategy import SearchStrategy
from flextune.trial.measurement import Measurement

_LEAST_SHARE = 0.05


class PositiveTold:
    """Tells a strategy values as they are, as long as all are positive; from then on, above a base below all of them.

    The base lies as far below the smallest value as the largest lies above it. When a value comes close to the base it
    is moved, and everything is told again, which replaces what the strategy knew.
    """

    def __init__(self, strategy: SearchStrategy) -> None:
        self._strategy = strategy
        self._known: dict[Assignment, Measurement] = {}
        self._base = 0.0
        self._span = 0.0

    def tell(self, measurements: Sequence[Measurement]) -> None:
        """As `SearchStrategy.tell`."""
        self._known.update((measurement.assignment, measurement) for measurement in measurements)
        lowest = min((measurement.secs for measurement in measurements if measurement.ok), default=float("inf"))
        if lowest > self._base + _LEAST_SHARE * self._span:
            self._strategy.tell([self._moved(measurement) for measurement in measurements])
            return
        values = [measurement.secs for measurement in self._known.values() if measurement.ok]
        self._span = max(values) - min(values) or abs(values[0]) or 1.0
        self._base = min(values) - self._span
        self._strategy.tell([self._moved(measurement) for measurement in self._known.values()])

    def _moved(self, measurement: Measurement) -> Measurement:
        if not self._base or not measurement.ok:
            return measurement
        return replace(measurement, run_secs=(measurement.secs - self._base,))
