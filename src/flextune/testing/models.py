"""Small ONNX models for tests, and their reference by ONNX's own evaluator."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from flextune.graph.onnx_graph import OnnxGraph

FLOAT = TensorProto.FLOAT


def value(name: str, shape: Sequence[int | str | None], dtype: int = FLOAT) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, dtype, shape)


def model_of(
    nodes: Sequence[onnx.NodeProto],
    inputs: Sequence[onnx.ValueInfoProto],
    outputs: Sequence[onnx.ValueInfoProto],
    constants: dict[str, np.ndarray] | None = None,
    opset: int = 17,
) -> onnx.ModelProto:
    initializers = [numpy_helper.from_array(array, name) for name, array in (constants or {}).items()]
    graph = helper.make_graph(list(nodes), "test", list(inputs), list(outputs), initializers)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def evaluate(proto: onnx.ModelProto, inputs: dict[str, np.ndarray]) -> list[np.ndarray]:
    results: list[np.ndarray] = ReferenceEvaluator(proto).run(None, inputs)
    return results


def operators(graph: OnnxGraph) -> list[str]:
    return [node.op_type for node in graph.nodes]


def random_array(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-1, 1, shape).astype(np.float32)


def conv_block(channels: int = 8) -> onnx.ModelProto:
    """Conv without bias -> batch norm -> relu -> conv with bias -> residual add, on [1, 4, 10, 10]."""
    constants = {
        "w1": random_array(1, channels, 4, 3, 3),
        "gamma": random_array(2, channels) + 2,
        "beta": random_array(3, channels),
        "mean": random_array(4, channels),
        "variance": random_array(5, channels) + 2,
        "w2": random_array(6, 4, channels, 1, 1),
        "b2": random_array(7, 4),
    }
    nodes = [
        helper.make_node("Conv", ["x", "w1"], ["c1"], name="conv_a", pads=[1, 1, 1, 1]),
        helper.make_node("BatchNormalization", ["c1", "gamma", "beta", "mean", "variance"], ["n1"], name="norm"),
        helper.make_node("Relu", ["n1"], ["r1"], name="relu_a"),
        helper.make_node("Conv", ["r1", "w2", "b2"], ["c2"], name="conv_b"),
        helper.make_node("Add", ["c2", "x"], ["y"], name="residual"),
    ]
    return model_of(nodes, [value("x", [1, 4, 10, 10])], [value("y", [1, 4, 10, 10])], constants)
