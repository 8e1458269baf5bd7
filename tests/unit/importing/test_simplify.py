"""Each rule keeps what the model computes, and leaves the nodes it promises."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from flextune.importing.onnx_graph import OnnxGraph
from flextune.importing.simplify import simplify
from flextune.importing.simplify.affine import fold_affine
from flextune.importing.simplify.constants import fold_constants, fold_shapes
from flextune.importing.simplify.identities import remove_identities, split_variadic
from flextune.importing.simplify.ranks import full_rank_constants
from flextune.testing.models import conv_block, evaluate, model_of, operators, random_array, value


def assert_same(proto: onnx.ModelProto, graph: OnnxGraph, seed: int = 0) -> None:
    rng = np.random.default_rng(seed)
    inputs = {
        v.name: rng.uniform(-1, 1, [d.dim_value for d in v.type.tensor_type.shape.dim]).astype(np.float32)
        for v in proto.graph.input
    }
    rewritten = graph.to_proto()
    onnx.checker.check_model(rewritten)
    assert [v.name for v in rewritten.graph.output] == [v.name for v in proto.graph.output]
    for got, want in zip(evaluate(rewritten, inputs), evaluate(proto, inputs), strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("operator", "chain"), [("Sum", "Add"), ("Max", "Max"), ("Min", "Min")])
@pytest.mark.parametrize("count", [1, 2, 4])
def test_variadic_nodes_become_chains(operator: str, chain: str, count: int) -> None:
    names = [f"x{i}" for i in range(count)]
    node = helper.make_node(operator, names, ["y"])
    proto = model_of([node], [value(n, [2, 3]) for n in names], [value("y", [2, 3])])
    graph = OnnxGraph.of(proto)
    split_variadic(graph)
    assert operators(graph) == ([chain] * (count - 1) or ["Identity"])
    assert_same(proto, graph)


def test_dropout_and_identity_vanish_and_output_names_stay() -> None:
    nodes = [
        helper.make_node("Relu", ["x"], ["a"]),
        helper.make_node("Dropout", ["a"], ["b", "unused_mask"]),
        helper.make_node("Identity", ["b"], ["c"]),
        helper.make_node("Neg", ["c"], ["d"]),
        helper.make_node("Identity", ["d"], ["y"]),
    ]
    proto = model_of(nodes, [value("x", [4])], [value("y", [4])])
    graph = OnnxGraph.of(proto)
    remove_identities(graph)
    assert operators(graph) == ["Relu", "Neg"]
    assert_same(proto, graph)


def test_identities_that_carry_meaning_stay() -> None:
    nodes = [
        helper.make_node("Identity", ["x"], ["y"]),  # an input that is an output
        helper.make_node("Relu", ["x"], ["z"]),
        helper.make_node("Identity", ["z"], ["copy"]),  # one value under two names
    ]
    proto = model_of(nodes, [value("x", [4])], [value("y", [4]), value("z", [4]), value("copy", [4])])
    graph = OnnxGraph.of(proto)
    remove_identities(graph)
    assert operators(graph) == ["Identity", "Relu", "Identity"]
    assert_same(proto, graph)


def test_identities_in_a_row_before_two_readers() -> None:
    nodes = [
        helper.make_node("Identity", ["x"], ["a"]),
        helper.make_node("Identity", ["a"], ["b"]),
        helper.make_node("Add", ["a", "b"], ["y"]),
    ]
    proto = model_of(nodes, [value("x", [4])], [value("y", [4])])
    graph = OnnxGraph.of(proto)
    remove_identities(graph)
    assert operators(graph) == ["Add"]
    assert_same(proto, graph)


def test_training_dropout_stays() -> None:
    nodes = [helper.make_node("Dropout", ["x", "ratio", "mode"], ["y"])]
    constants = {"ratio": np.array(0.5, np.float32), "mode": np.array(True)}
    graph = OnnxGraph.of(model_of(nodes, [value("x", [4])], [value("y", [4])], constants))
    remove_identities(graph)
    assert operators(graph) == ["Dropout"]


def test_constants_and_shapes_fold() -> None:
    two = helper.make_tensor("v", TensorProto.FLOAT, [1], [2])
    nodes = [
        helper.make_node("Shape", ["x"], ["s"]),
        helper.make_node("Gather", ["s", "zero"], ["n"]),
        helper.make_node("Unsqueeze", ["n", "axes"], ["n1"]),
        helper.make_node("Concat", ["n1", "minus"], ["target"], axis=0),
        helper.make_node("Reshape", ["x", "target"], ["flat"]),
        helper.make_node("ConstantOfShape", ["two"], ["twos"], value=two),
        helper.make_node("Mul", ["flat", "twos"], ["y"]),
    ]
    constants = {
        "zero": np.array(0, np.int64),
        "axes": np.array([0], np.int64),
        "minus": np.array([-1], np.int64),
        "two": np.array([1], np.int64),
    }
    proto = model_of(nodes, [value("x", [2, 3, 4])], [value("y", [2, 12])], constants)
    graph = OnnxGraph.of(proto)
    for rule in (fold_constants, fold_shapes, fold_constants):
        rule(graph)
    assert operators(graph) == ["Reshape", "Mul"]
    np.testing.assert_array_equal(graph.constants["target"], [2, -1])
    assert_same(proto, graph)


def test_random_nodes_do_not_fold() -> None:
    nodes = [
        helper.make_node("RandomUniformLike", ["c"], ["r"]),
        helper.make_node("Add", ["x", "r"], ["y"]),
    ]
    graph = OnnxGraph.of(model_of(nodes, [value("x", [2])], [value("y", [2])], {"c": np.zeros(2, np.float32)}))
    fold_constants(graph)
    assert operators(graph) == ["RandomUniformLike", "Add"]


def test_batch_norm_folds_into_the_convolution() -> None:
    proto = conv_block()
    graph = OnnxGraph.of(proto)
    fold_affine(graph)
    assert operators(graph) == ["Conv", "Relu", "Conv", "Add"]
    assert_same(proto, graph)


def test_affine_chain_folds_into_one_scale_and_shift() -> None:
    """DenseNet's form: batch norm, Mul and Add of constants, with no convolution before them."""
    constants = {
        **{name: random_array(i, 6) + 2 for i, name in enumerate(("gamma", "beta", "mean", "variance"))},
        "scale": random_array(8, 6, 1, 1),
        "shift": random_array(9, 1, 6, 1, 1),
    }
    nodes = [
        helper.make_node("BatchNormalization", ["x", "gamma", "beta", "mean", "variance"], ["a"], epsilon=1e-3),
        helper.make_node("Mul", ["scale", "a"], ["b"]),
        helper.make_node("Add", ["b", "shift"], ["c"]),
        helper.make_node("Relu", ["c"], ["y"]),
    ]
    proto = model_of(nodes, [value("x", [1, 6, 5, 5])], [value("y", [1, 6, 5, 5])], constants)
    graph = OnnxGraph.of(proto)
    fold_affine(graph)
    assert operators(graph) == ["Mul", "Add", "Relu"]
    assert_same(proto, graph)


@pytest.mark.parametrize("operator", ["Mul", "Add", "Sub", "Div"])
def test_constant_after_convolution_folds(operator: str) -> None:
    constants = {"w": random_array(0, 6, 3, 3, 3), "b": random_array(1, 6), "c": random_array(2, 6, 1, 1) + 2}
    nodes = [helper.make_node("Conv", ["x", "w", "b"], ["a"]), helper.make_node(operator, ["a", "c"], ["y"])]
    proto = model_of(nodes, [value("x", [1, 3, 7, 7])], [value("y", [1, 6, 5, 5])], constants)
    graph = OnnxGraph.of(proto)
    fold_affine(graph)
    assert operators(graph) == ["Conv"]
    assert_same(proto, graph)


def test_values_read_twice_are_not_folded_away() -> None:
    constants = {"w": random_array(0, 6, 3, 1, 1), "c": random_array(2, 6, 1, 1)}
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["a"]),
        helper.make_node("Mul", ["a", "c"], ["b"]),
        helper.make_node("Add", ["a", "b"], ["y"]),
    ]
    proto = model_of(nodes, [value("x", [1, 3, 4, 4])], [value("y", [1, 6, 4, 4])], constants)
    graph = OnnxGraph.of(proto)
    fold_affine(graph)
    assert_same(proto, graph)


def test_intermediate_outputs_are_kept() -> None:
    constants = {"w": random_array(0, 6, 3, 1, 1), "c": random_array(2, 6, 1, 1)}
    nodes = [helper.make_node("Conv", ["x", "w"], ["a"]), helper.make_node("Mul", ["a", "c"], ["y"])]
    outputs = [value("a", [1, 6, 4, 4]), value("y", [1, 6, 4, 4])]
    proto = model_of(nodes, [value("x", [1, 3, 4, 4])], outputs, constants)
    graph = OnnxGraph.of(proto)
    fold_affine(graph)
    assert_same(proto, graph)


def test_broadcast_that_grows_the_data_is_left_alone() -> None:
    constants = {"w": random_array(0, 1, 3, 1, 1), "c": random_array(2, 16, 1, 1)}
    nodes = [helper.make_node("Conv", ["x", "w"], ["a"]), helper.make_node("Mul", ["a", "c"], ["y"])]
    proto = model_of(nodes, [value("x", [1, 3, 4, 4])], [value("y", [1, 16, 4, 4])], constants)
    graph = OnnxGraph.of(proto)
    fold_affine(graph)
    assert_same(proto, graph)


def test_constants_get_the_rank_of_the_data() -> None:
    constants = {"c": random_array(0, 6, 1, 1), "scalar": np.array(2.0, np.float32)}
    nodes = [helper.make_node("Mul", ["x", "c"], ["a"]), helper.make_node("Mul", ["a", "scalar"], ["y"])]
    proto = model_of(nodes, [value("x", [1, 6, 4, 4])], [value("y", [1, 6, 4, 4])], constants)
    graph = OnnxGraph.of(proto)
    full_rank_constants(graph)
    assert graph.constants[graph.nodes[0].input[1]].shape == (1, 6, 1, 1)
    assert graph.constants[graph.nodes[1].input[1]].shape == ()
    assert_same(proto, graph)


def test_all_rules_together_keep_the_result() -> None:
    proto = conv_block()
    graph = OnnxGraph.of(proto)
    simplify(graph)
    assert "BatchNormalization" not in operators(graph)
    assert_same(proto, graph)


def test_names_read_inside_a_branch_count_as_uses() -> None:
    then = helper.make_graph([helper.make_node("Relu", ["inner"], ["t"])], "then", [], [value("t", [4])])
    other = helper.make_graph([helper.make_node("Neg", ["inner"], ["e"])], "else", [], [value("e", [4])])
    nodes = [
        helper.make_node("Identity", ["x"], ["inner"]),
        helper.make_node("If", ["condition"], ["y"], then_branch=then, else_branch=other),
    ]
    inputs = [value("x", [4]), value("condition", [], TensorProto.BOOL)]
    proto = model_of(nodes, inputs, [value("y", [4])])
    graph = OnnxGraph.of(proto)
    remove_identities(graph)
    assert operators(graph) == ["If"]
    x = random_array(0, 4)
    (got,) = evaluate(graph.to_proto(), {"x": x, "condition": np.array(True)})
    np.testing.assert_array_equal(got, np.maximum(x, 0))
