"""What exporters write in many nodes becomes few, and computes the same."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import helper

from flextune.importing.model import model_from_proto
from flextune.importing.onnx_graph import OnnxGraph
from flextune.importing.simplify import simplify
from flextune.importing.simplify.opset import COMMON, upgrade_operators
from flextune.testing.models import evaluate, model_of, operators, random_array, value


def node(operator: str, inputs: list[str], output: str, **attributes: object) -> onnx.NodeProto:
    return helper.make_node(operator, inputs, [output], name=output, **attributes)


def simplified(proto: onnx.ModelProto) -> OnnxGraph:
    """The graph after all rules, which is checked to compute what the model does."""
    rng = np.random.default_rng(0)
    inputs = {
        v.name: rng.uniform(-2, 2, [d.dim_value for d in v.type.tensor_type.shape.dim]).astype(np.float32)
        for v in proto.graph.input
    }
    expected = evaluate(proto, inputs)
    graph = OnnxGraph.of(model_from_proto(proto, "plain").proto)
    simplify(graph)
    for got, want in zip(evaluate(graph.to_proto(), inputs), expected, strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-5)
    return graph


def ints(**named: list[int]) -> dict[str, np.ndarray]:
    return {name: np.array(values, np.int64) for name, values in named.items()}


def test_transposes_around_reshapes_of_units_are_one() -> None:
    nodes = [
        node("Transpose", ["x"], "a", perm=[0, 2, 1, 3]),
        node("Reshape", ["a", "s1"], "b"),
        node("Transpose", ["b"], "c", perm=[0, 2, 1]),
        node("Reshape", ["c", "s2"], "d"),
        node("Relu", ["d"], "y"),
    ]
    proto = model_of(
        nodes, [value("x", [1, 16, 4, 8])], [value("y", [1, 4, 8, 16])], ints(s1=[4, 16, 8], s2=[1, 4, 8, 16])
    )
    graph = simplified(proto)
    assert operators(graph) == ["Transpose", "Relu"]
    assert list(graph.nodes[0].attribute[0].ints) == [0, 2, 3, 1]


def test_movement_that_cancels_is_gone_and_outputs_keep_their_names() -> None:
    nodes = [
        node("Unsqueeze", ["x", "axes"], "a"),
        node("Squeeze", ["a", "axes"], "b"),
        node("Transpose", ["b"], "c", perm=[1, 0]),
        node("Transpose", ["c"], "y", perm=[1, 0]),
    ]
    proto = model_of(nodes, [value("x", [3, 5])], [value("y", [3, 5])], ints(axes=[0]))
    assert operators(simplified(proto)) == ["Identity"]


def test_what_changes_nothing_is_gone() -> None:
    constants = {
        "zero": np.zeros((1, 4), np.float32),
        "one": np.ones(1, np.float32),
        "all": np.ones((3, 4), np.bool_),
        **ints(starts=[0], ends=[2**31], axes=[1], shape=[3, 4], pads=[0, 0, 0, 0]),
    }
    nodes = [
        node("Add", ["x", "zero"], "a"),
        node("Mul", ["one", "a"], "b"),
        node("Slice", ["b", "starts", "ends", "axes"], "c"),
        node("Expand", ["c", "shape"], "d"),
        node("Pad", ["d", "pads"], "e"),
        node("Where", ["all", "e", "x"], "f"),
        node("Neg", ["f"], "y"),
    ]
    proto = model_of(nodes, [value("x", [3, 4])], [value("y", [3, 4])], constants)
    assert operators(simplified(proto)) == ["Neg"]


def test_a_sum_that_broadcasts_stays() -> None:
    nodes = [node("Add", ["x", "zero"], "y")]
    proto = model_of(nodes, [value("x", [1, 4])], [value("y", [3, 4])], {"zero": np.zeros((3, 4), np.float32)})
    assert operators(simplified(proto)) == ["Add"]


@pytest.mark.parametrize("has_bias", [True, False])
def test_a_split_projection_becomes_three(has_bias: bool) -> None:
    constants = {
        "w": random_array(1, 8, 12),
        "b": random_array(2, 12),
        **ints(rows=[6, 8], back=[1, 6, 12], sizes=[4, 4, 4]),
    }
    nodes = [
        node("Reshape", ["x", "rows"], "r"),
        node("Gemm", ["r", "w", "b"] if has_bias else ["r", "w"], "g"),
        node("Reshape", ["g", "back"], "v"),
        helper.make_node("Split", ["v", "sizes"], ["q", "k", "l"], axis=2),
    ]
    outputs = [value(name, [1, 6, 4]) for name in "qkl"]
    proto = model_of(nodes, [value("x", [1, 6, 8])], outputs, constants, opset=13)
    layer = ["MatMul", "Add"] if has_bias else ["MatMul"]
    assert operators(simplified(proto)) == layer * 3


def test_packed_heads_are_separate_projections() -> None:
    """As nn.MultiheadAttention is exported: one projection, packed, and read by position."""
    constants = {
        "w": random_array(1, 8, 24),
        "b": random_array(2, 24),
        "which": np.array(1, np.int64),
        "other": np.array(-1, np.int64),
        **ints(packed=[10, 1, 3, 8], axis=[0], last=[-2]),
    }
    nodes = [
        node("MatMul", ["x", "w"], "m"),
        node("Add", ["m", "b"], "linear"),
        node("Reshape", ["linear", "packed"], "p"),
        node("Unsqueeze", ["p", "axis"], "u"),
        node("Transpose", ["u"], "t", perm=[3, 1, 2, 0, 4]),
        node("Squeeze", ["t", "last"], "s"),
        node("Gather", ["s", "which"], "k", axis=0),
        node("Gather", ["s", "other"], "v", axis=0),
    ]
    outputs = [value(name, [10, 1, 8]) for name in "kv"]
    proto = model_of(nodes, [value("x", [10, 1, 8])], outputs, constants)
    assert operators(simplified(proto)) == ["MatMul", "Add"] * 2


def test_a_scale_goes_into_the_weights() -> None:
    constants = {
        "w": random_array(1, 8, 8),
        "b": random_array(2, 8),
        "scale": np.array(0.25, np.float32),
        **ints(heads=[1, 6, 2, 4]),
    }
    nodes = [
        node("MatMul", ["x", "w"], "m"),
        node("Add", ["b", "m"], "a"),
        node("Reshape", ["a", "heads"], "h"),
        node("Transpose", ["h"], "t", perm=[0, 2, 1, 3]),
        node("Mul", ["t", "scale"], "y"),
    ]
    proto = model_of(nodes, [value("x", [1, 6, 8])], [value("y", [1, 2, 6, 4])], constants)
    assert "Mul" not in operators(simplified(proto))


def test_a_scale_on_a_value_that_others_read_stays() -> None:
    constants = {"w": random_array(1, 8, 8), "scale": np.array(0.25, np.float32)}
    nodes = [node("MatMul", ["x", "w"], "m"), node("Mul", ["m", "scale"], "y"), node("Relu", ["m"], "z")]
    proto = model_of(nodes, [value("x", [6, 8])], [value("y", [6, 8]), value("z", [6, 8])], constants)
    assert operators(simplified(proto)) == ["MatMul", "Mul", "Relu"]


HALF, ONE, ROOT = (np.array(number, np.float32) for number in (0.5, 1.0, np.sqrt(2.0)))

SPELLINGS = {
    "half last": [
        node("Div", ["x", "root"], "a"),
        node("Erf", ["a"], "b"),
        node("Add", ["b", "one"], "c"),
        node("Mul", ["x", "c"], "d"),
        node("Mul", ["d", "half"], "y"),
    ],
    "half first": [
        node("Mul", ["x", "half"], "h"),
        node("Div", ["x", "root"], "a"),
        node("Erf", ["a"], "b"),
        node("Add", ["one", "b"], "c"),
        node("Mul", ["h", "c"], "y"),
    ],
    "by tanh": [
        node("Pow", ["x", "three"], "p"),
        node("Mul", ["p", "cubic"], "q"),
        node("Add", ["x", "q"], "r"),
        node("Mul", ["r", "rate"], "s"),
        node("Tanh", ["s"], "t"),
        node("Add", ["t", "one"], "u"),
        node("Mul", ["x", "half"], "h"),
        node("Mul", ["h", "u"], "y"),
    ],
}


def activation_model(nodes: list[onnx.NodeProto], **changed: np.ndarray) -> onnx.ModelProto:
    constants = {
        "half": HALF,
        "one": ONE,
        "root": ROOT,
        "three": np.array(3.0, np.float32),
        "cubic": np.array(0.044715, np.float32),
        "rate": np.array(np.sqrt(2.0 / np.pi), np.float32),
    }
    return model_of(nodes, [value("x", [2, 3, 4])], [value("y", [2, 3, 4])], constants | changed)


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_gelu_is_known_in_every_spelling(spelling: str) -> None:
    graph = simplified(activation_model(SPELLINGS[spelling]))
    assert operators(graph) == ["Gelu"]
    assert graph.nodes[0].attribute[0].s == (b"tanh" if spelling == "by tanh" else b"none")


def test_what_is_nearly_gelu_is_not() -> None:
    graph = simplified(activation_model(SPELLINGS["half last"], root=np.array(1.5, np.float32)))
    assert "Gelu" not in operators(graph)
    nodes = [*SPELLINGS["half last"], node("Neg", ["b"], "z")]
    proto = activation_model(nodes)
    proto.graph.output.append(value("z", [2, 3, 4]))
    assert "Gelu" not in operators(simplified(proto))


OLDER = [
    (12, helper.make_node("Squeeze", ["x"], ["y"], axes=[0])),
    (12, helper.make_node("Unsqueeze", ["x"], ["y"], axes=[0, 3])),
    (12, helper.make_node("ReduceSum", ["x"], ["y"], axes=[1, 3], keepdims=0)),
    (12, helper.make_node("Split", ["x"], ["y", "z"], axis=2, split=[1, 3])),
    (17, helper.make_node("Split", ["x"], ["y", "z"], axis=2)),
    *(
        (17, helper.make_node(f"Reduce{name}", ["x"], ["y"], axes=[1, 3]))
        for name in ("Mean", "Max", "L2", "SumSquare")
    ),
    (10, helper.make_node("Clip", ["x"], ["y"], min=-0.5, max=0.4)),
    (10, helper.make_node("Pad", ["x"], ["y"], pads=[0, 0, 1, 2, 0, 0, 3, 0], value=0.5)),
    (9, helper.make_node("Slice", ["x"], ["y"], starts=[1, 0], ends=[3, 2], axes=[1, 3])),
    (9, helper.make_node("Upsample", ["x", "scales"], ["y"], mode="nearest")),
    (11, helper.make_node("Dropout", ["x"], ["y"], ratio=0.3)),
    (12, helper.make_node("Softmax", ["x"], ["y"])),
    (11, helper.make_node("LogSoftmax", ["x"], ["y"], axis=2)),
    (12, helper.make_node("Hardmax", ["x"], ["y"], axis=-1)),
]


@pytest.mark.parametrize(("opset", "older"), OLDER, ids=[f"{each.op_type}-{opset}" for opset, each in OLDER])
def test_older_operators_compute_the_same(opset: int, older: onnx.NodeProto) -> None:
    runtime = pytest.importorskip("onnxruntime")  # the reference evaluator reads Softmax-12 as Softmax-13
    outputs = [helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None) for name in older.output]
    scales = {"scales": np.array([1, 1, 2, 3], np.float32)} if "scales" in older.input else {}
    proto = model_of([older], [value("x", [1, 3, 4, 5])], outputs, scales, opset=opset)
    graph = OnnxGraph.of(proto)
    upgrade_operators(graph)
    assert graph.opset == COMMON
    x = random_array(0, 1, 3, 4, 5)
    sessions = [runtime.InferenceSession(each.SerializeToString()) for each in (proto, graph.to_proto())]
    for want, got in zip(*(session.run(None, {"x": x}) for session in sessions), strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-6, atol=1e-6)
