"""Seeded random weights for models that come without any, scaled so that signals neither vanish nor blow up.

A model whose weights are all one constant computes almost the same number everywhere, so comparing its outputs with a
reference proves nothing. Weights of convolutions and matrix products are uniform with a variance of
1 / (fan-in x mean square of the input): He's initialisation (ICCV 2015) with the mean square carried through the graph,
so that residual sums do not grow and a final softmax does not saturate.
"""

from __future__ import annotations

import numpy as np
import onnx

from flextune.importing.model import Model
from flextune.importing.onnx_graph import OnnxGraph, attribute
from flextune.importing.simplify.constants import fold_constants

WEIGHTED = {"Conv": (1, 2), "ConvTranspose": (1, 2), "Gemm": (1, 2), "MatMul": (1, None)}
"""Operator -> positions of its weight and its bias."""


def is_weightless(model: Model) -> bool:
    """Whether the model's convolution and matrix weights are written as one constant each (`ConstantOfShape`)."""
    filled = {node.output[0] for node in model.proto.graph.node if node.op_type == "ConstantOfShape"}
    weights = [node.input[1] for node in model.proto.graph.node if node.op_type in WEIGHTED]
    return any(name in filled for name in weights)


def with_random_weights(model: Model, seed: int = 0) -> Model:
    """The model with every parameter that is one constant replaced by seeded random values; same graph otherwise."""
    graph = OnnxGraph.of(model.proto)
    fold_constants(graph)
    rng = np.random.default_rng(seed)
    squares: dict[str, float] = {}
    replaced = 0
    for node in graph.nodes:
        for name, values in _parameters(node, graph, squares, rng).items():
            if _is_one_value(graph.constants[name]):
                graph.constants[name] = values
                replaced += 1
        squares.update(dict.fromkeys(node.output, _mean_square(node, graph, squares)))
    return model.with_proto(graph.to_proto(), f"{replaced} constant weights replaced by random ones (seed {seed})")


def _mean_square(node: onnx.NodeProto, graph: OnnxGraph, squares: dict[str, float]) -> float:
    """A rough E[y^2] of a node's output from those of its inputs (1 where nothing is known)."""
    data = [squares.get(name, 1.0) for name in node.input if name and name not in graph.constants]
    if not data:
        return 1.0
    weight = graph.constants.get(node.input[1]) if node.op_type in WEIGHTED else None
    if weight is not None:
        return _fan_in(node, weight.shape) * _mean_of_squares(weight) * data[0]
    if node.op_type == "Relu":
        return 0.6 * data[0]
    if node.op_type == "MaxPool":
        return 2.0 * data[0]
    if node.op_type == "BatchNormalization" and all(name in graph.constants for name in node.input[1:5]):
        gamma, beta, mean, variance = (graph.constants[name] for name in node.input[1:5])
        scale = gamma / np.sqrt(variance + attribute(node, "epsilon", 1e-5))
        return float(np.mean(scale**2) * data[0] + np.mean((beta - mean * scale) ** 2))
    if node.op_type in ("Add", "Sum"):
        return sum(data)
    return max(data)


def _parameters(
    node: onnx.NodeProto, graph: OnnxGraph, squares: dict[str, float], rng: np.random.Generator
) -> dict[str, np.ndarray]:
    """Random values for the constants a node reads as parameters."""
    if node.op_type == "BatchNormalization":
        ranges = zip(node.input[1:5], ((0.5, 1.0), (-0.2, 0.2), (-0.2, 0.2), (0.5, 1.5)), strict=True)
        return {name: _uniform(bounds, graph, name, rng) for name, bounds in ranges if name in graph.constants}
    if node.op_type in ("Mul", "Add"):
        bounds = (0.5, 1.0) if node.op_type == "Mul" else (-0.2, 0.2)
        return {name: _uniform(bounds, graph, name, rng) for name in node.input if _is_float_vector(graph, name)}
    if node.op_type not in WEIGHTED or node.input[1] not in graph.constants:
        return {}
    weight, bias = WEIGHTED[node.op_type]
    shape = graph.constants[node.input[weight]].shape
    variance = 1.0 / (_fan_in(node, shape) * max(squares.get(node.input[0], 1.0), 1e-6))
    spread = np.float32(np.sqrt(12.0 * variance))  # a uniform distribution of width s has variance s^2 / 12
    values = rng.random(shape, dtype=np.float32)
    values -= np.float32(0.5)
    values *= spread
    found = {node.input[weight]: values}
    if bias is not None and len(node.input) > bias and node.input[bias] in graph.constants:
        found[node.input[bias]] = _uniform((-0.2, 0.2), graph, node.input[bias], rng)
    return found


def _mean_of_squares(array: np.ndarray) -> float:
    flat = array.reshape(-1).astype(np.float32, copy=False)
    return float(np.dot(flat, flat)) / max(flat.size, 1)


def _fan_in(node: onnx.NodeProto, shape: tuple[int, ...]) -> int:
    if node.op_type == "Conv":
        return int(np.prod(shape[1:]))
    if node.op_type == "ConvTranspose":
        return int(shape[0] * np.prod(shape[2:]))
    if len(shape) < 2:
        return shape[0]
    return shape[1] if attribute(node, "transB", 0) else shape[-2]


def _uniform(bounds: tuple[float, float], graph: OnnxGraph, name: str, rng: np.random.Generator) -> np.ndarray:
    return rng.uniform(*bounds, graph.constants[name].shape).astype(np.float32)


def _is_float_vector(graph: OnnxGraph, name: str) -> bool:
    array = graph.constants.get(name)
    return array is not None and array.dtype == np.float32 and array.size > 1


def _is_one_value(array: np.ndarray) -> bool:
    return array.dtype == np.float32 and bool(np.all(array == array.flat[0]))
