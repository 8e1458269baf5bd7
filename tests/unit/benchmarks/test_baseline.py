from __future__ import annotations

import numpy as np
import pytest

from benchmarks.leaderboard.baseline import P_POINTS, judged_counts, random_search, scores_above_random


def simulated(secs: np.ndarray, count: int, runs: int = 20_000) -> tuple[float, float]:
    """Mean best time and fraction of optimum of `count` draws, by drawing them."""
    rng = np.random.default_rng(0)
    good_worst, optimum = np.nanmax(secs), np.nanmin(secs)
    order = rng.permuted(np.tile(secs, (runs, 1)), axis=1)[:, :count]
    best = np.where(np.isnan(order).all(axis=1), np.nan, np.nanmin(np.where(np.isnan(order), np.inf, order), axis=1))
    fraction = np.where(np.isnan(best), 0.0, optimum / best)
    return float(np.where(np.isnan(best), good_worst, best).mean()), float(fraction.mean())


@pytest.mark.parametrize("failures", [0, 7])
@pytest.mark.parametrize("count", [1, 3, 10])
def test_expected_values_are_those_of_drawing(failures: int, count: int) -> None:
    secs = np.random.default_rng(1).lognormal(size=24)
    secs[:failures] = np.nan
    best, fraction = random_search(secs, np.array([count]))
    expected_best, expected_fraction = simulated(secs, count)
    assert best[0] == pytest.approx(expected_best, rel=0.02)
    assert fraction[0] == pytest.approx(expected_fraction, rel=0.02)


def test_all_draws_find_the_optimum() -> None:
    secs = np.array([3.0, np.nan, 1.0, 2.0])
    best, fraction = random_search(secs, np.array([4, 100]))
    assert best == pytest.approx([1.0, 1.0])
    assert fraction == pytest.approx([1.0, 1.0])


def test_one_draw_is_the_mean() -> None:
    best, fraction = random_search(np.array([1.0, 2.0, 4.0]), np.array([1]))
    assert best[0] == pytest.approx(7 / 3)
    assert fraction[0] == pytest.approx((1 + 1 / 2 + 1 / 4) / 3)


def test_p_looks_from_where_random_search_has_begun_to_where_it_is_nearly_there() -> None:
    secs = np.random.default_rng(2).lognormal(size=500)
    counts = judged_counts(secs, 400)
    median, optimum = np.median(secs), secs.min()
    before, first, last = random_search(secs, np.array([counts[0] - 1, counts[0], counts[-1]]))[0]
    assert 1 < len(counts) <= P_POINTS
    assert first <= median - 0.01 * (median - optimum) < before
    assert last <= optimum + 0.05 * (median - optimum) or counts[-1] == 400


def test_p_is_1_for_the_optimum_and_0_for_what_random_search_finds() -> None:
    secs = np.random.default_rng(3).lognormal(size=200)
    counts = judged_counts(secs, 100)
    optimum = np.full(len(counts), secs.min())
    found = np.stack([optimum, random_search(secs, counts)[0], np.full(len(counts), np.nan)])
    best, same, nothing = scores_above_random(secs, found, counts)
    assert best == pytest.approx(1.0)
    assert same == pytest.approx(0.0)
    assert nothing < 0
