"""Several numbers of each trial for strategies, which make one small: weighted, with weights that change."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from flextune.csp.assignment import Assignment
from flextune.search.strategy import SearchStrategy
from flextune.trial.measurement import Measurement
from flextune.tuning.goals import Goals

_TRIALS_PER_WEIGHT = 4
_SUM_SHARE = 0.05
_GOLDEN = (math.sqrt(5) - 1) / 2


class ParetoTold:
    """Tells a strategy, for each trial, the largest of its weighted losses and a little of their sum.

    Each loss counts by its place between the smallest and the largest so far. The weights change every few trials and
    go through all directions, so that the trials spread along the front: ParEGO (Knowles, 2006). With a change all is
    told again, which replaces what the strategy knew.
    """

    def __init__(self, strategy: SearchStrategy, goals: Goals) -> None:
        self._strategy = strategy
        self._goals = goals
        self._known: dict[Assignment, Measurement] = {}

    def tell(self, measurements: Sequence[Measurement]) -> None:
        """As `SearchStrategy.tell`."""
        before = len(self._known) // _TRIALS_PER_WEIGHT
        self._known.update((measurement.assignment, measurement) for measurement in measurements)
        losses = {each.assignment: self._goals.losses(each) for each in self._known.values() if each.ok}
        spans = [(min(column), max(column)) for column in zip(*losses.values(), strict=True)]
        turn = len(self._known) // _TRIALS_PER_WEIGHT
        weights = _weights(turn, len(self._goals.names))
        told = list(self._known.values()) if turn != before else list(measurements)
        self._strategy.tell([_scalar(each, losses.get(each.assignment), spans, weights) for each in told])


def _weights(turn: int, count: int) -> tuple[float, ...]:
    """Directions that fill the simplex evenly, as far as a few of them can; first one of equal weights."""
    if turn == 0:
        return (1 / count,) * count
    parts = [-math.log(1 - ((turn * (_GOLDEN ** (axis + 1)) + 0.5) % 1.0) * 0.999) for axis in range(count)]
    return tuple(part / sum(parts) for part in parts)


def _scalar(
    measurement: Measurement,
    losses: tuple[float, ...] | None,
    spans: Sequence[tuple[float, float]],
    weights: Sequence[float],
) -> Measurement:
    if losses is None:
        return measurement
    placed = zip(losses, spans, strict=True)
    shares = [(loss - low) / (high - low) if high > low else 0.0 for loss, (low, high) in placed]
    weighted = [weight * share for weight, share in zip(weights, shares, strict=True)]
    return replace(measurement, run_secs=(1.0 + max(weighted) + _SUM_SHARE * sum(weighted),))
