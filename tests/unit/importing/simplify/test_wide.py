"""Nodes with very many operands, and chains of very many nodes that do nothing."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import onnx
import pytest
from onnx import helper

from flextune.importing.model import model_from_proto
from flextune.importing.onnx_graph import OnnxGraph
from flextune.importing.simplify import simplify
from flextune.importing.simplify.identities import remove_identities
from flextune.testing.models import evaluate, model_of, operators, value


@pytest.mark.parametrize("count", [64, 65, 5000])
def test_wide_concatenations_are_trees(count: int) -> None:
    node = helper.make_node("Concat", ["x", "z"] * (count // 2) + ["x"] * (count % 2), ["y"], axis=0)
    proto = model_of([node], [value("x", [2, 3]), value("z", [1, 3])], [value("y", None)])
    inputs = {"x": np.arange(6, dtype=np.float32).reshape(2, 3), "z": np.full((1, 3), 9, np.float32)}
    wanted = evaluate(proto, inputs)[0]
    graph = OnnxGraph.of(model_from_proto(proto, "wide").proto)
    simplify(graph)
    assert all(len(each.input) <= 64 for each in graph.nodes)
    np.testing.assert_array_equal(evaluate(graph.to_proto(), inputs)[0], wanted)


def test_a_long_chain_of_identities_is_one_node() -> None:
    names = ["x", *(f"v{place}" for place in range(4999)), "y"]
    nodes = [helper.make_node("Identity", [left], [right]) for left, right in pairwise(names)]
    graph = OnnxGraph.of(model_from_proto(model_of(nodes, [value("x", [4])], [value("y", [4])]), "long").proto)
    simplify(graph)
    assert operators(graph) == ["Identity"]


def test_identities_between_outputs_and_in_branches_keep_what_is_read() -> None:
    branch = helper.make_graph([helper.make_node("Neg", ["b"], ["n"])], "branch", [], [value("n", None)])
    other = helper.make_graph([helper.make_node("Abs", ["b"], ["m"])], "branch", [], [value("m", None)])
    nodes: list[onnx.NodeProto] = [
        helper.make_node("Relu", ["x"], ["a"]),
        helper.make_node("Identity", ["a"], ["b"]),
        helper.make_node("Identity", ["b"], ["y1"]),
        helper.make_node("ReduceSum", ["x"], ["s"], keepdims=0),
        helper.make_node("Cast", ["s"], ["c"], to=9),
        helper.make_node("If", ["c"], ["y2"], then_branch=branch, else_branch=other),
        helper.make_node("Exp", ["a"], ["y3"]),
    ]
    outputs = [value(name, [4]) for name in ("y1", "y2", "y3")]
    proto = model_of(nodes, [value("x", [4])], outputs)
    inputs = {"x": np.array([1, -2, 3, 0.5], np.float32)}
    wanted = evaluate(proto, inputs)
    graph = OnnxGraph.of(proto)

    remove_identities(graph)
    assert "Identity" not in operators(graph)
    for got, want in zip(evaluate(graph.to_proto(), inputs), wanted, strict=True):
        np.testing.assert_array_equal(got, want)
