"""Sections of graphs: in order, complete, and with one value from one to the next, as counting all of them says."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import helper

from flextune.importing.model import model_from_proto
from flextune.plan.parts.graph import PartedGraph, parted_graph
from flextune.plan.parts.sections import sections_of
from flextune.testing.models import model_of, value


def random_graph(seed: int) -> PartedGraph:
    """Sums of values written before, mostly of recent ones; one output, and perhaps one more from the middle."""
    rng = np.random.default_rng(seed)
    names, nodes = ["x"], list[onnx.NodeProto]()
    for number in range(20):
        recent = names[-3:] if rng.random() < 0.3 else names[-1:]
        left, right = rng.choice(recent, 2)
        nodes.append(helper.make_node("Add", [left, right], [f"v{number}"]))
        names.append(f"v{number}")
    outputs = {names[-1], *rng.choice(names[5:], int(rng.integers(0, 2)))}
    proto = model_of(nodes, [value("x", [4])], [value(name, [4]) for name in sorted(outputs)])
    return parted_graph(model_from_proto(proto, "sums"), lambda proto: {})


@pytest.mark.parametrize("seed", range(12))
def test_one_value_goes_from_section_to_section(seed: int) -> None:
    graph = random_graph(seed)
    sections = sections_of(graph, 100)
    assert [index for section in sections for index in section.nodes] == list(range(len(graph.nodes)))
    assert len(sections) == 1 + sum(_crossing(graph, border) == 1 for border in range(1, len(graph.nodes)))
    for most in (1, 2, 5):
        merged = sections_of(graph, most)
        assert len(merged) == min(most, len(sections))
        assert sum(section.work for section in merged) == sum(section.work for section in sections)
        assert {section.nodes[0] for section in merged} <= {section.nodes[0] for section in sections}


def _crossing(graph: PartedGraph, border: int) -> int:
    before = {name for node in graph.nodes[:border] for name in node.output}
    return len(before & {name for node in graph.nodes[border:] for name in node.input})
