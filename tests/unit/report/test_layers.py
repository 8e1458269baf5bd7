"""Nodes are placed without overlaps, edges lead downwards."""

from __future__ import annotations

import random
from itertools import pairwise

import pytest

from flextune.report.layers import place


def test_a_chain_is_straight() -> None:
    places = place(4, [(0, 1), (1, 2), (2, 3)], 100, 20, 10)
    assert places.layer == (0, 1, 2, 3)
    assert len(set(places.x)) == 1
    assert all(bends == () for bends in places.bends.values())


def test_a_long_edge_bends_around_the_box_it_passes() -> None:
    places = place(3, [(0, 1), (1, 2), (0, 2)], 100, 20, 10)
    ((x, row),) = places.bends[0, 2]
    assert row == 1
    assert abs(x - places.x[1]) >= (120 + 10) / 2 - 1e-6


def test_sources_are_placed_directly_above_their_reader() -> None:
    places = place(4, [(0, 2), (2, 3), (1, 3)], 100, 20, 10)
    assert places.layer == (0, 1, 1, 2)


@pytest.mark.parametrize("seed", range(5))
def test_boxes_of_random_graphs_do_not_overlap(seed: int) -> None:
    rng = random.Random(seed)
    count = 40
    edges = [(rng.randrange(node), node) for node in range(1, count) for _ in range(rng.randint(1, 3))]
    places = place(count, edges, 100, 20, 10)
    assert all(places.layer[source] < places.layer[target] for source, target in edges)
    for row in set(places.layer):
        centres = sorted(places.x[node] for node in range(count) if places.layer[node] == row)
        assert all(right - left >= 120 - 1e-6 for left, right in pairwise(centres))
    assert places.left <= min(places.x) - 50
    assert max(places.x) + 50 <= places.right


def test_nothing_has_no_places() -> None:
    assert place(0, [], 100, 20, 10).layers == 0
