"""Batch norm and constant scale-and-shift: merged with each other and into the convolution before them.

Everything here is one fact: `BatchNormalization`, `Mul` by and `Add` of one constant per channel are maps
x -> scale * x + shift per channel; a chain of them is one again, and a convolution absorbs it into weights and bias.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx

from flextune.importing.onnx_graph import OnnxGraph, attribute
from flextune.importing.simplify.constants import static_shapes

Shapes = dict[str, tuple[int, ...]]

FLOAT32 = np.finfo(np.float32)

CONVOLUTIONS = frozenset({"Conv", "ConvTranspose"})


@dataclass(frozen=True, slots=True)
class _Affine:
    """x -> scale * x + shift along the channel axis (axis 1); float64, one entry per channel."""

    scale: np.ndarray
    shift: np.ndarray

    @property
    def is_exact(self) -> bool:
        """Whether float32 has scale and shift: no factor that is infinite, NaN, or lost below the smallest number."""
        factors = np.abs(self.scale[self.scale != 0.0])
        return bool(
            np.all(np.isfinite(self.scale))
            and np.all(factors >= FLOAT32.tiny)
            and np.all(factors <= FLOAT32.max)
            and np.all(np.abs(self.shift) <= FLOAT32.max)
        )

    def then(self, other: _Affine) -> _Affine:
        return _Affine(self.scale * other.scale, self.shift * other.scale + other.shift)


def fold_affine(graph: OnnxGraph) -> None:
    """Fold per-channel scale-and-shift chains into convolutions, or into one `Mul` and one `Add`.

    before: y = Add(Mul(BatchNormalization(Conv(x, w, b)), s), t)   -->   after: y = Conv(x, w', b')
    """
    shapes = static_shapes(graph)
    producers = {name: node for node in graph.nodes for name in node.output}
    uses = graph.use_counts()
    pending: dict[str, tuple[str, _Affine]] = {}  # value -> (value the chain starts from, map so far)
    for node in graph.nodes:
        found = _affine_of(node, graph, shapes)
        if found is None or not found[1].is_exact:
            continue
        source, affine = found
        if source in pending and uses[source] == 1 and pending[source][1].then(affine).is_exact:
            start, before = pending.pop(source)
            source, affine = start, before.then(affine)
        pending[node.output[0]] = (source, affine)
    _rewrite(graph, pending, producers, uses, shapes)


def _rewrite(
    graph: OnnxGraph,
    pending: dict[str, tuple[str, _Affine]],
    producers: dict[str, onnx.NodeProto],
    uses: dict[str, int],
    shapes: Shapes,
) -> None:
    replaced: dict[int, list[onnx.NodeProto]] = {}
    dropped: set[int] = set()
    for result, (source, affine) in pending.items():
        for node in _chain_between(source, result, producers):
            dropped.add(id(node))
        convolution = producers.get(source)
        if convolution is not None and convolution.op_type in CONVOLUTIONS and uses[source] == 1:
            merged = _merged_convolution(convolution, affine, result, graph)
            if merged is not None:
                dropped.add(id(convolution))
                replaced[id(convolution)] = [merged]
                continue
        replaced[id(producers[result])] = _scale_and_shift(source, affine, result, len(shapes[source]), graph)
    nodes = []
    for node in graph.nodes:
        if id(node) in replaced:
            nodes.extend(replaced[id(node)])
        elif id(node) not in dropped:
            nodes.append(node)
    graph.nodes = nodes


def _chain_between(source: str, result: str, producers: dict[str, onnx.NodeProto]) -> list[onnx.NodeProto]:
    chain, value = [], result
    while value != source:
        node = producers[value]
        chain.append(node)
        value = next(name for name in node.input if name == source or name in producers)
    return chain


def _affine_of(node: onnx.NodeProto, graph: OnnxGraph, shapes: Shapes) -> tuple[str, _Affine] | None:
    """The value a node reads and the map it applies, if it is a per-channel scale-and-shift in float32."""
    if node.op_type == "BatchNormalization":
        return _batch_norm(node, graph) if len(shapes.get(node.input[0], ())) >= 2 else None
    if node.op_type not in ("Mul", "Add", "Sub", "Div") or len(node.input) != 2:
        return None
    left, right = node.input
    if right not in graph.constants and node.op_type in ("Mul", "Add"):
        left, right = right, left
    if right not in graph.constants or left in graph.constants or len(shapes.get(left, ())) < 3:
        return None
    channel = _per_channel(graph.constants[right], shapes[left])
    if channel is None:
        return None
    one, zero = np.ones_like(channel), np.zeros_like(channel)
    if node.op_type == "Div" and not np.all(channel):
        return None
    maps = {
        "Mul": lambda: _Affine(channel, zero),
        "Div": lambda: _Affine(1.0 / channel, zero),
        "Add": lambda: _Affine(one, channel),
        "Sub": lambda: _Affine(one, -channel),
    }
    return left, maps[node.op_type]()


def _batch_norm(node: onnx.NodeProto, graph: OnnxGraph) -> tuple[str, _Affine] | None:
    if attribute(node, "training_mode", 0) or not all(name in graph.constants for name in node.input[1:5]):
        return None
    if any(node.output[1:]):
        return None
    gamma, beta, mean, variance = (graph.constants[name].astype(np.float64) for name in node.input[1:5])
    epsilon = attribute(node, "epsilon", 1e-5)
    scale = gamma / np.sqrt(variance + epsilon)
    return node.input[0], _Affine(scale, beta - mean * scale)


def _per_channel(constant: np.ndarray, data: tuple[int, ...]) -> np.ndarray | None:
    """The constant as a vector over channels (float64), if it varies along axis 1 only and broadcasts onto `data`."""
    if constant.dtype != np.float32 or constant.ndim > len(data):
        return None
    shape = (1,) * (len(data) - constant.ndim) + constant.shape
    if any(size != 1 for axis, size in enumerate(shape) if axis != 1) or shape[1] not in (1, data[1]):
        return None
    return constant.reshape(-1).astype(np.float64)


def _merged_convolution(node: onnx.NodeProto, affine: _Affine, result: str, graph: OnnxGraph) -> onnx.NodeProto | None:
    weight = graph.constants.get(node.input[1])
    has_bias = len(node.input) > 2 and node.input[2]
    bias = graph.constants.get(node.input[2]) if has_bias else None
    if weight is None or weight.dtype != np.float32 or (has_bias and bias is None):
        return None
    if np.abs(weight).max(initial=0.0) * np.abs(affine.scale).max(initial=0.0) > FLOAT32.max:
        return None
    is_transposed, groups = node.op_type == "ConvTranspose", attribute(node, "group", 1)
    channels = weight.shape[1] * groups if is_transposed else weight.shape[0]
    scale = np.broadcast_to(affine.scale, (channels,))
    shift = np.broadcast_to(affine.shift, (channels,))
    before = np.zeros(channels) if bias is None else bias.astype(np.float64)
    names = [graph.fresh_name(f"{result}_weight"), graph.fresh_name(f"{result}_bias")]
    inner = [1] * (weight.ndim - 2)
    if is_transposed:  # [inputs, outputs of a group, *window]
        grouped = weight.astype(np.float64).reshape(groups, -1, *weight.shape[1:])
        scaled = (grouped * scale.reshape(groups, 1, -1, *inner)).reshape(weight.shape)
    else:
        scaled = weight.astype(np.float64) * scale.reshape(-1, 1, *inner)
    graph.constants[names[0]] = scaled.astype(np.float32)
    graph.constants[names[1]] = (before * scale + shift).astype(np.float32)
    merged = onnx.NodeProto()
    merged.CopyFrom(node)
    del merged.input[:]
    merged.input.extend([node.input[0], *names])
    merged.output[0] = result
    return merged


def _scale_and_shift(source: str, affine: _Affine, result: str, rank: int, graph: OnnxGraph) -> list[onnx.NodeProto]:
    """`Mul` then `Add` by per-channel constants; the half that would do nothing is left out."""
    shape = (1, -1, *[1] * (rank - 2))
    scales, shifts = bool(np.any(affine.scale != 1.0)), bool(np.any(affine.shift != 0.0))
    nodes, value = [], source
    for operator, wanted, vector in (("Mul", scales or not shifts, affine.scale), ("Add", shifts, affine.shift)):
        if not wanted:
            continue
        constant = graph.fresh_name(f"{result}_{operator.lower()}")
        graph.constants[constant] = vector.astype(np.float32).reshape(shape)
        target = graph.fresh_name(f"{result}_scaled") if operator == "Mul" and shifts else result
        nodes.append(onnx.helper.make_node(operator, [value, constant], [target], name=f"{result}_{operator.lower()}"))
        value = target
    return nodes
