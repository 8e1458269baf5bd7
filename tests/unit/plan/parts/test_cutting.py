"""Parts are convex, in an order in which they run, and as few as phases allow."""

from __future__ import annotations

import networkx
import numpy as np
import pytest

from flextune.plan.parts.cutting import Side, cuts_of

OWN, OTHER = Side.OWN, Side.OTHER


def random_graph(seed: int) -> tuple[list[set[int]], list[Side]]:
    rng = np.random.default_rng(seed)
    count = int(rng.integers(1, 14))
    reads = [{int(n) for n in rng.integers(0, index, rng.integers(0, 3))} if index else set() for index in range(count)]
    return reads, [list(Side)[rng.integers(0, 2 + seed % 2)] for _ in range(count)]


@pytest.mark.parametrize("seed", range(60))
def test_parts_run_one_after_the_other(seed: int) -> None:
    reads, sides = random_graph(seed)
    cuts = cuts_of(reads, sides)
    assert sorted(node for cut in cuts for node in cut.nodes) == list(range(len(reads)))
    assert all(sides[node] is cut.side for cut in cuts for node in cut.nodes)
    place = {node: number for number, cut in enumerate(cuts) for node in cut.nodes}
    assert all(place[source] <= place[node] for node, sources in enumerate(reads) for source in sources)


@pytest.mark.parametrize("seed", range(60))
def test_no_way_leads_out_of_a_part_and_back(seed: int) -> None:
    reads, sides = random_graph(seed)
    graph = networkx.DiGraph([(source, node) for node, sources in enumerate(reads) for source in sources])
    graph.add_nodes_from(range(len(reads)))
    for cut in cuts_of(reads, sides):
        inside = set(cut.nodes)
        after = {far for node in inside for far in networkx.descendants(graph, node)} - inside
        assert not any(networkx.descendants(graph, node) & inside for node in after)


def test_a_branch_around_an_island_joins_neither_too_early() -> None:
    """0 -> 1 (theirs) -> 3 and 0 -> 2 -> 3: a part of 0, 2 and 3 would wait for itself."""
    cuts = cuts_of([set(), {0}, {0}, {1, 2}], [OWN, OTHER, OWN, OWN])
    assert [(cut.nodes, cut.side) for cut in cuts] == [((0, 2), OWN), ((1,), OTHER), ((3,), OWN)]


def test_islands_side_by_side_are_one_part() -> None:
    cuts = cuts_of([set(), {0}, {0}, {1, 2}], [OWN, OTHER, OTHER, OWN])
    assert [cut.nodes for cut in cuts] == [(0,), (1, 2), (3,)]
