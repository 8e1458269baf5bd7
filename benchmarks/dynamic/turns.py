"""Calls that take turns, and what their times come to."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence

Call = Callable[[], object]


def in_turns(calls: Mapping[str, Call], secs: float, least_rounds: int = 5) -> dict[str, float]:
    """The median seconds of each, one call after the other in every round."""
    times: dict[str, list[float]] = {name: [] for name in calls}
    for call in calls.values():
        call()
    began = time.perf_counter()
    while len(next(iter(times.values()))) < least_rounds or time.perf_counter() - began < secs:
        for name, call in calls.items():
            call()  # what it needs is in the caches, as in a program that does nothing else
            start = time.perf_counter()
            call()
            times[name].append(time.perf_counter() - start)
    return {name: statistics.median(each) for name, each in times.items()}


def mean(ratios: Sequence[float]) -> float | None:
    """The geometric mean; None of none."""
    return statistics.geometric_mean(ratios) if ratios else None
