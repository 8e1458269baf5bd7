"""Networks with symbolic sizes and random weights: an encoder of text, a recogniser of lines, one for images."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


@dataclass(frozen=True)
class Network:
    """A model and the ranges of its sizes."""

    build: Callable[[], onnx.ModelProto]
    dims: tuple[str, ...]


class _Graph:
    """Nodes and weights as they are added."""

    def __init__(self, seed: int = 0) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.weights: list[onnx.TensorProto] = []
        self._rng = np.random.default_rng(seed)

    def weight(self, *shape: int, scale: float | None = None) -> str:
        spread = scale if scale is not None else (1.0 / max(1, int(np.prod(shape[1:])))) ** 0.5
        return self.constant((self._rng.standard_normal(shape) * spread).astype(np.float32))

    def constant(self, array: np.ndarray) -> str:
        name = f"w{len(self.weights)}"
        self.weights.append(numpy_helper.from_array(array, name))
        return name

    def add(self, operator: str, *inputs: str, **attributes: object) -> str:
        name = f"t{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, list(inputs), [name], **attributes))
        return name

    def model(self, inputs: Mapping[str, Sequence[int | str]], output: str) -> onnx.ModelProto:
        given = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in inputs.items()]
        self.nodes[-1].output[0] = "y"
        made = [helper.make_value_info("y", onnx.TypeProto())]
        made[0].type.tensor_type.elem_type = TensorProto.FLOAT
        assert output == f"t{len(self.nodes) - 1}"
        graph = helper.make_graph(self.nodes, "network", given, made, self.weights)
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def encoder(layers: int = 2, hidden: int = 768, heads: int = 12) -> onnx.ModelProto:
    """Layers as BERT has them, of embedded tokens [batch, seq, hidden]."""
    graph, x = _Graph(), "x"
    split = graph.constant(np.array([0, 0, heads, hidden // heads], np.int64))
    joined = graph.constant(np.array([0, 0, hidden], np.int64))
    for _ in range(layers):
        q, k, v = (graph.add("Reshape", _dense(graph, x, hidden, hidden), split) for _ in range(3))
        q, v = (graph.add("Transpose", each, perm=[0, 2, 1, 3]) for each in (q, v))
        scores = graph.add("MatMul", q, graph.add("Transpose", k, perm=[0, 2, 3, 1]))
        scaled = graph.add("Mul", scores, graph.constant(np.float32((hidden // heads) ** -0.5)))
        mixed = graph.add("MatMul", graph.add("Softmax", scaled, axis=-1), v)
        merged = graph.add("Reshape", graph.add("Transpose", mixed, perm=[0, 2, 1, 3]), joined)
        x = _normalised(graph, graph.add("Add", _dense(graph, merged, hidden, hidden), x), hidden)
        wide = _gelu(graph, _dense(graph, x, hidden, 4 * hidden))
        x = _normalised(graph, graph.add("Add", _dense(graph, wide, 4 * hidden, hidden), x), hidden)
    return graph.model({"x": ("batch", "seq", hidden)}, x)


def recogniser() -> onnx.ModelProto:
    """Convolutions over a line of text 32 high, then a class for each column."""
    graph, x, channels = _Graph(), "x", 3
    for wider in (32, 64, 128, 128):
        x = graph.add("Relu", graph.add("Conv", x, graph.weight(wider, channels, 3, 3), pads=[1] * 4))
        x = graph.add(
            "MaxPool", x, kernel_shape=[2, 2] if wider < 128 else [2, 1], strides=[2, 2] if wider < 128 else [2, 1]
        )
        channels = wider
    columns = graph.add("Transpose", x, perm=[0, 3, 1, 2])
    flat = graph.add("Reshape", columns, graph.constant(np.array([0, 0, 2 * channels], np.int64)))
    logits = _dense(graph, flat, 2 * channels, 96)
    return graph.model({"x": ("batch", 3, 32, "width")}, graph.add("Softmax", logits, axis=-1))


def image_network() -> onnx.ModelProto:
    """Residual blocks on images of one size, for any number of them."""
    graph = _Graph()
    x = graph.add("Relu", graph.add("Conv", "x", graph.weight(64, 3, 3, 3), pads=[1] * 4, strides=[2, 2]))
    for _ in range(3):
        inner = graph.add("Relu", graph.add("Conv", x, graph.weight(64, 64, 3, 3), pads=[1] * 4))
        x = graph.add("Relu", graph.add("Add", graph.add("Conv", inner, graph.weight(64, 64, 3, 3), pads=[1] * 4), x))
    pooled = graph.add("Flatten", graph.add("GlobalAveragePool", x))
    return graph.model({"x": ("batch", 3, 56, 56)}, _dense(graph, pooled, 64, 100))


def _dense(graph: _Graph, x: str, width: int, wider: int) -> str:
    product = graph.add("MatMul", x, graph.weight(width, wider, scale=width**-0.5))
    return graph.add("Add", product, graph.weight(wider, scale=0.1))


def _normalised(graph: _Graph, x: str, width: int) -> str:
    ones, zeros = graph.constant(np.ones(width, np.float32)), graph.constant(np.zeros(width, np.float32))
    return graph.add("LayerNormalization", x, ones, zeros, axis=-1)


def _gelu(graph: _Graph, x: str) -> str:
    root = graph.constant(np.float32(2**-0.5))
    raised = graph.add("Add", graph.add("Erf", graph.add("Mul", x, root)), graph.constant(np.float32(1)))
    return graph.add("Mul", graph.add("Mul", x, raised), graph.constant(np.float32(0.5)))


NETWORKS = {
    "encoder": Network(encoder, ("batch=1..8", "seq=1..512")),
    "recogniser": Network(recogniser, ("batch=1..4", "width=32..640")),
    "images": Network(image_network, ("batch=1..16",)),
}
