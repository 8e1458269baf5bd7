"""How long a variant takes at sizes where it was not measured: it grows with its work, tiles being counted whole.

A schedule with a tile of 8 rows takes as long for 9 rows as for 16. In several dimensions the numbers of tiles are
multiplied: ceil(n / tn) * ceil(m / tm) (`Variant.work`). Between amounts of work that were measured the time is on a
line: it is not in proportion to them where a cache no longer holds what a tile reads.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from flextune.workload.dim_expr import DimExpr, maximum

Measure = Callable[[int, int], float]
"""Seconds of a variant at a point, by their numbers; infinity where it cannot run there."""

_ALIKE = 1.25
"""What amounts of work differ by, at least, to be told apart: between closer ones noise would be most of a line."""


def work_counts(works: Sequence[DimExpr], names: Sequence[str], points: Sequence[Sequence[int]]) -> np.ndarray:
    """[variants, points]: the work of each variant, over sizes of these names, at each point."""
    sizes = [dict(zip(names, point, strict=True)) for point in points]
    return np.array([[work.bind(each) for each in sizes] for work in works], dtype=np.float64)


def cost_of(work: DimExpr, secs: np.ndarray, counts: np.ndarray) -> DimExpr | None:
    """What a variant takes at any sizes, in femtoseconds, by its times at some (NaN elsewhere) and its work there.

    None where it has no times.
    """
    known = np.isfinite(secs)
    if not known.any():
        return None
    return _Curve.through(secs[known], counts[known]).expression(work)


def predicted(secs: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Seconds everywhere: the measured ones, and by the model where `secs` is NaN.

    The model of a variant is made of its own times; one that was measured once is taken to grow with its tiles.
    """
    result = np.array(secs)
    for own, tiles in zip(result, counts, strict=True):
        known = np.isfinite(own)
        missing = np.isnan(own)
        if not known.any():
            own[missing] = np.inf
            continue
        own[missing] = np.maximum(_Curve.through(own[known], tiles[known]).at(tiles[missing]), 1e-9)
    return result


@dataclass(frozen=True, slots=True)
class _Curve:
    """Seconds by work: lines between these, the last one continued."""

    works: tuple[float, ...]
    secs: tuple[float, ...]

    @classmethod
    def through(cls, secs: np.ndarray, works: np.ndarray) -> _Curve:
        """Times of about the same work count as their mean, and more work never takes less time."""
        found: list[tuple[float, float]] = []
        order = np.argsort(works, kind="stable")
        group: list[int] = []
        for place in [*order.tolist(), -1]:
            if group and (place < 0 or works[place] > _ALIKE * works[group[0]]):
                found.append((_mean(np.maximum(works[group], 1.0)), _mean(secs[group])))
                group = []
            group.append(place)
        knots, times = (np.array(each) for each in zip(*found, strict=True))
        times = np.maximum.accumulate(times)
        start = max(0.0, times[0] - knots[0] * (times[1] - times[0]) / (knots[1] - knots[0])) if len(knots) > 1 else 0.0
        return cls((0.0, *map(float, knots)), (min(start, float(times[0])), *map(float, times)))

    def at(self, works: np.ndarray) -> np.ndarray:
        """Seconds for so much work."""
        inside = np.interp(works, self.works, self.secs)
        return np.asarray(inside + self._slopes[-1] * np.maximum(works - self.works[-1], 0.0))

    def expression(self, work: DimExpr) -> DimExpr:
        """Femtoseconds."""
        slopes = [round(1e15 * each) for each in self._slopes]
        result = work * slopes[0] + max(1, round(1e15 * self.secs[0]))
        for at, before, after in zip(self.works[1:], slopes, slopes[1:], strict=False):
            result = result + maximum(work - round(at), 0) * (after - before)
        return result

    @property
    def _slopes(self) -> list[float]:
        return [float(each) for each in np.diff(self.secs) / np.diff(self.works)]


def _mean(values: np.ndarray) -> float:
    return float(np.exp(np.log(values).mean()))


def measured_winners(
    counts: np.ndarray, weights: np.ndarray, measure: Measure, first: Sequence[int], most: int
) -> np.ndarray:
    """[variants, points]: the times of all variants at the points `first`, and of the predicted winners elsewhere.

    The point whose winner is not measured and that counts most is next, until every winner is a measured one, or
    `most` measurements are made. NaN where nothing was measured.
    """
    secs = np.full(counts.shape, np.nan)
    made = 0
    for variant in range(len(counts)):  # one after the other: where time runs out, some are known rather than none
        for point in first:
            if made < most:
                secs[variant, point] = measure(variant, point)
                made += 1
    while made < most:
        winners = np.argmin(predicted(secs, counts), axis=0)
        open_points = [point for point, winner in enumerate(winners) if np.isnan(secs[winner, point])]
        if not open_points:
            break
        point = max(open_points, key=lambda each: weights[each])
        secs[winners[point], point] = measure(int(winners[point]), point)
        made += 1
    return secs
