"""Parts are convex, in an order in which they run, and as few as phases allow."""

from __future__ import annotations

import networkx
import numpy as np
import pytest

from flextune.plan.parts.cutting import cuts_of


def random_graph(seed: int) -> tuple[list[set[int]], list[bool]]:
    rng = np.random.default_rng(seed)
    count = int(rng.integers(1, 14))
    reads = [{int(n) for n in rng.integers(0, index, rng.integers(0, 3))} if index else set() for index in range(count)]
    return reads, [bool(rng.integers(0, 2)) for _ in range(count)]


@pytest.mark.parametrize("seed", range(60))
def test_parts_run_one_after_the_other(seed: int) -> None:
    reads, own = random_graph(seed)
    cuts = cuts_of(reads, own)
    assert sorted(node for cut in cuts for node in cut.nodes) == list(range(len(reads)))
    assert all(own[node] == cut.is_own for cut in cuts for node in cut.nodes)
    place = {node: number for number, cut in enumerate(cuts) for node in cut.nodes}
    assert all(place[source] <= place[node] for node, sources in enumerate(reads) for source in sources)


@pytest.mark.parametrize("seed", range(60))
def test_no_way_leads_out_of_a_part_and_back(seed: int) -> None:
    reads, own = random_graph(seed)
    graph = networkx.DiGraph([(source, node) for node, sources in enumerate(reads) for source in sources])
    graph.add_nodes_from(range(len(reads)))
    for cut in cuts_of(reads, own):
        inside = set(cut.nodes)
        after = {far for node in inside for far in networkx.descendants(graph, node)} - inside
        assert not any(networkx.descendants(graph, node) & inside for node in after)


def test_a_branch_around_an_island_joins_neither_too_early() -> None:
    """0 -> 1 (theirs) -> 3 and 0 -> 2 -> 3: a part of 0, 2 and 3 would wait for itself."""
    cuts = cuts_of([set(), {0}, {0}, {1, 2}], [True, False, True, True])
    assert [(cut.nodes, cut.is_own) for cut in cuts] == [((0, 2), True), ((1,), False), ((3,), True)]


def test_islands_side_by_side_are_one_part() -> None:
    cuts = cuts_of([set(), {0}, {0}, {1, 2}], [True, False, False, True])
    assert [cut.nodes for cut in cuts] == [(0,), (1, 2), (3,)]
