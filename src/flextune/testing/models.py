"""Small ONNX models for tests, and their reference by ONNX's own evaluator."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from flextune.importing.onnx_graph import OnnxGraph

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


@dataclass(frozen=True, slots=True)
class SeparableShape:
    """A depthwise convolution and a 1x1 one behind it, on images [batch, channels, height, width]."""

    height: int
    """Of the images."""
    width: int
    """Of the images."""
    channels: int
    """Of the images."""
    results: int
    """Channels of the 1x1 convolution."""
    taps: int = 3
    """Rows and columns of the window."""
    stride: int = 1
    """Of the window, in both directions."""
    pad: int = 1
    """Zeros on every side."""
    batch: int = 1
    """Images."""

    @property
    def data(self) -> list[int]:
        return [self.batch, self.channels, self.height, self.width]

    @property
    def result(self) -> list[int]:
        rows, columns = ((size + 2 * self.pad - self.taps) // self.stride + 1 for size in (self.height, self.width))
        return [self.batch, self.results, rows, columns]


def separable_block(
    shape: SeparableShape, activation: str = "relu6", bias: bool = True, residual: bool = True
) -> onnx.ModelProto:
    """Depthwise convolution -> activation (`relu6`, `hardswish`, `silu`, or `` for none) -> 1x1 convolution -> sum."""
    constants: dict[str, np.ndarray] = {
        "w1": random_array(1, shape.channels, 1, shape.taps, shape.taps),
        "w2": random_array(2, shape.results, shape.channels, 1, 1),
        "b1": random_array(3, shape.channels),
        "b2": random_array(4, shape.results),
        "zero": np.array(0, np.float32),
        "three": np.array(3, np.float32),
        "six": np.array(6, np.float32),
    }
    window = {"pads": [shape.pad] * 4, "strides": [shape.stride] * 2, "group": shape.channels}
    nodes = [
        helper.make_node("Conv", ["x", "w1", *(["b1"] if bias else [])], ["d"], **window),
        *_activation(activation, "d", "r"),
        helper.make_node("Conv", ["r", "w2", *(["b2"] if bias else [])], ["p"]),
        helper.make_node("Add", ["p", "s"], ["y"]) if residual else helper.make_node("Identity", ["p"], ["y"]),
    ]
    inputs = [value("x", shape.data), *([value("s", shape.result)] if residual else [])]
    read = {name for node in nodes for name in node.input}
    used = {name: array for name, array in constants.items() if name in read}
    return model_of(nodes, inputs, [value("y", shape.result)], used)


def _activation(name: str, source: str, result: str) -> list[onnx.NodeProto]:
    if name == "relu6":
        return [helper.make_node("Clip", [source, "zero", "six"], [result])]
    if name == "silu":
        gate = helper.make_node("Sigmoid", [source], ["gate"])
        return [gate, helper.make_node("Mul", [source, "gate"], [result])]
    if name == "hardswish":
        return [
            helper.make_node("Add", [source, "three"], ["moved"]),
            helper.make_node("Clip", ["moved", "zero", "six"], ["clipped"]),
            helper.make_node("Div", ["clipped", "six"], ["gate"]),
            helper.make_node("Mul", [source, "gate"], [result]),
        ]
    return [helper.make_node("Identity", [source], [result])]
