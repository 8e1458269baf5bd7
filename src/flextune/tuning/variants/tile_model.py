"""How long a variant takes at sizes where it was not measured: `a + b * work`, tiles being counted whole.

A schedule with a tile of 8 rows takes as long for 9 rows as for 16. In several dimensions the numbers of tiles are
multiplied: ceil(n / tn) * ceil(m / tm) (`Variant.work`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from flextune.workload.dim_expr import DimExpr

Measure = Callable[[int, int], float]
"""Seconds of a variant at a point, by their numbers; infinity where it cannot run there."""


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
    base, step = _fit(secs[known], counts[known])
    return work * max(0, round(1e15 * step)) + max(1, round(1e15 * base))


def predicted(secs: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Seconds everywhere: the measured ones, and by the model where `secs` is NaN.

    The model of a variant is fitted to its own times, by relative errors; one that was measured once, or failed, is
    taken to grow with its tiles.
    """
    result = np.array(secs)
    for own, tiles in zip(result, counts, strict=True):
        known = np.isfinite(own)
        missing = np.isnan(own)
        if not known.any():
            own[missing] = np.inf
            continue
        base, step = _fit(own[known], tiles[known])
        own[missing] = np.maximum(base + step * tiles[missing], 1e-9)
    return result


def _fit(secs: np.ndarray, tiles: np.ndarray) -> tuple[float, float]:
    if len(set(tiles.tolist())) < 2:
        return 0.0, float(np.median(secs / np.maximum(tiles, 1.0)))
    matrix = np.stack([np.ones_like(tiles), tiles], axis=1) / secs[:, None]
    (base, step), *_ = np.linalg.lstsq(matrix, np.ones_like(secs), rcond=None)
    if step >= 0 and base >= 0:
        return float(base), float(step)
    largest = int(np.argmax(tiles))
    return 0.0, float(secs[largest] / max(tiles[largest], 1.0))


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
