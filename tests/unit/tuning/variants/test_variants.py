"""Which sizes are measured, which schedules are kept, and which of them a size gets."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
import pytest

from flextune.errors import UsageError
from flextune.tuning.variants.points import Grid, random_points, windows
from flextune.tuning.variants.selection import Dispatch, fewest_variants
from flextune.tuning.variants.tile_model import cost_of, measured_winners, predicted, work_counts
from flextune.workload.dim import Dim
from flextune.workload.dim_expr import ceil_div


def times(tiles: Sequence[int], sizes: Sequence[int]) -> np.ndarray:
    """Of kernels with a tile of rows each: wide ones are fast a row, and waste what they do not fill."""
    return np.array([[1.0 + -(-size // tile) * (tile * 0.5 + 4.0) for size in sizes] for tile in tiles])


def test_sizes_are_spread_by_weight_and_hold_both_ends() -> None:
    dims = (Dim("batch", 1, 8), Dim("seq", 16, 512, 16))
    grid = Grid.by_weight(dims, 16)
    assert [(sizes[0], sizes[-1]) for sizes in grid.sizes] == [(1, 8), (16, 512)]
    assert all(size % 16 == 0 for size in grid.sizes[1])
    assert len(grid.points) <= 16
    assert grid.weights.sum() == pytest.approx(1.0)
    assert Grid.by_weight((Dim("seq", 1, 512, weights=((7, 3.0), (100, 1.0))),), 8).sizes == ((7, 100),)


def test_every_size_belongs_to_a_point() -> None:
    grid = Grid((Dim("a", 0, 40), Dim("b", 1, 9)), ((0, 3, 40), (1, 9)))
    for a, b in itertools.product(range(41), range(1, 10)):
        place = grid.points[grid.cell({"a": a, "b": b})]
        assert place[0] == (0 if a < 2 else 3 if a < 11 else 40)
        assert place[1] == (1 if b < 3 else 9)
    assert [grid.points[grid.cell({"a": a, "b": b})] for a, b in grid.points] == list(grid.points)


@pytest.mark.parametrize(("low", "high"), [(1, 1), (2, 300), (1, 8193), (100, 100_000)])
def test_windows_are_clipped_and_end(low: int, high: int) -> None:
    found = windows(Dim("m", low, high))
    assert (found[0][0], found[-1][1]) == (low, high)
    assert all(after[0] == before[1] + 1 for before, after in itertools.pairwise(found))


def test_few_variants_lose_little() -> None:
    sizes, tiles = list(range(1, 200, 3)), (1, 2, 4, 6, 8, 12, 16)
    secs, weights = times(tiles, sizes), np.full(len(sizes), 1 / len(sizes))
    chosen = fewest_variants(secs, weights, 0.1)
    worst = (secs[list(chosen)].min(axis=0) / secs.min(axis=0)).max()
    assert worst <= 1.1
    for fewer in itertools.combinations(range(len(tiles)), len(chosen) - 1):
        assert not fewer or (secs[list(fewer)].min(axis=0) / secs.min(axis=0)).max() > 1.1


def test_a_variant_that_fails_somewhere_is_not_alone() -> None:
    secs = np.array([[1.0, np.inf], [5.0, 5.0]])
    assert fewest_variants(secs, np.array([0.5, 0.5]), 0.05) == (0, 1)
    with pytest.raises(UsageError, match="no variant runs"):
        fewest_variants(np.array([[1.0, np.inf]]), np.array([0.5, 0.5]), 0.05)


def test_the_model_of_tiles_finds_the_winners_with_few_measurements() -> None:
    sizes, tiles = list(range(1, 513, 7)), (1, 2, 3, 4, 6, 8, 12)
    secs = times(tiles, sizes)
    counts = work_counts([ceil_div("m", tile) for tile in tiles], ["m"], [(size,) for size in sizes])
    asked: list[tuple[int, int]] = []

    def measure(variant: int, point: int) -> float:
        asked.append((variant, point))
        return float(secs[variant, point])

    found = measured_winners(counts, np.full(len(sizes), 1.0), measure, (0, len(sizes) - 1), most=10_000)
    winners = np.argmin(predicted(found, counts), axis=0)
    assert len(set(asked)) == len(asked) < secs.size / 4
    assert all(not np.isnan(found[variant, point]) for point, variant in enumerate(winners))
    np.testing.assert_allclose(secs[winners, range(len(sizes))], secs.min(axis=0))


def test_a_product_of_tiles_is_fitted_in_two_dimensions() -> None:
    points = list(itertools.product((1, 5, 16, 33), (7, 20, 64)))
    counts = work_counts([ceil_div("m", 4) * ceil_div("n", 8), "m" * ceil_div("n", 16)], ["m", "n"], points)
    secs = 3.0 + 2.0 * counts
    known = np.full(secs.shape, np.nan)
    known[:, [0, -1]] = secs[:, [0, -1]]
    np.testing.assert_allclose(predicted(known, counts), secs, rtol=1e-6)


def test_costs_are_what_was_measured_and_lie_on_lines_between() -> None:
    """A kernel that takes three times as long for each tile beyond 64 of them, and 5 us to begin."""
    rows = [1, 8, 64, 256, 2048, 16384]
    work = ceil_div("m", 8)
    counts = work_counts([work], ["m"], [(each,) for each in rows])
    secs = 5e-6 + 1e-6 * (counts + 2 * np.maximum(counts - 64, 0))
    cost = cost_of(work, secs[0], counts[0])
    assert cost is not None
    for m, expected in zip(rows, secs[0], strict=True):
        assert cost.bind({"m": m}) == pytest.approx(1e15 * expected, rel=0.02)
    assert cost.bind({"m": 160}) == pytest.approx(1e15 * (5e-6 + 20e-6), rel=0.01)  # between the third and the fourth
    assert cost.bind({"m": 32768}) == pytest.approx(1e15 * (5e-6 + 1e-6 * (4096 + 2 * 4032)), rel=0.01)
    known = np.where(np.arange(len(rows)) == 3, np.nan, secs)
    between = predicted(known, counts)[0, 3]
    assert secs[0, 2] < between < secs[0, 4]
    once = cost_of(work, np.array([np.nan, 2e-6]), np.array([1.0, 4.0]))
    assert once is not None
    assert once.bind({"m": 64}) == pytest.approx(4e9, rel=1e-6)


def test_the_expression_says_what_the_choice_does() -> None:
    grid = Grid((Dim("m", 1, 64), Dim("n", 1, 100)), ((1, 8, 64), (1, 10, 100)))
    dispatch = Dispatch(grid, (0, 0, 1, 0, 0, 1, 2, 2, 2))
    for m, n in itertools.product(range(1, 65), range(1, 101, 3)):
        assert eval(dispatch.expression, {"m": m, "n": n}) == dispatch({"m": m, "n": n})  # noqa: S307
    assert dispatch.expression == "(0 if n < 32 else 1) if m < 23 else 2"


def test_windows_choose_by_mean_time() -> None:
    grid = Grid.of_windows((Dim("m", 1, 512),))
    secs = times((1, 12), [size for (size,) in grid.points])
    dispatch = Dispatch.by_windows(grid, secs)
    assert dispatch({"m": 2}) == dispatch({"m": 128}) == 1  # for 2 rows a tile of 12 loses, and the window hides it
    assert dispatch({"m": 1}) == 0


def test_random_sizes_follow_the_weights() -> None:
    dims = (Dim("m", 1, 1000), Dim("n", 8, 64, 8, ((8, 1.0), (64, 9.0))))
    drawn = np.array(random_points(dims, 400, np.random.default_rng(0)))
    assert np.median(drawn[:, 0]) < 100  # that of a uniform choice is 500
    assert set(drawn[:, 1]) == {8, 64}
    assert (drawn[:, 1] == 64).mean() > 0.8
