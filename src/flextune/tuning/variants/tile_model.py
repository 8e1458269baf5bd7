"""How long a variant takes at sizes where it was not measured: `a + b * tiles`, tiles being counted whole.

A schedule with a tile of 8 rows takes as long for 9 rows as for 16. In several dimensions the numbers of tiles are
multiplied: ceil(n / tn) * ceil(m / tm).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

Measure = Callable[[int, int], float]
"""Seconds of a variant at a point, by their numbers; infinity where it cannot run there."""


def tile_counts(tiles: Sequence[Sequence[int]], points: Sequence[Sequence[int]]) -> np.ndarray:
    """[variants, points]: whole tiles of each variant, whose tile has a size in each dimension, at each point."""
    counts = [
        [math.prod(math.ceil(size / tile) for size, tile in zip(point, own, strict=True)) for point in points]
        for own in tiles
    ]
    return np.array(counts, dtype=np.float64)


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
    for point in first:
        for variant in range(len(counts)):
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
