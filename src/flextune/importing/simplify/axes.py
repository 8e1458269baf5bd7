"""Axes counted from the front: not every pass of the compiler understands those that are counted from the back."""

from __future__ import annotations

import numpy as np
import onnx

from flextune.importing.onnx_graph import OnnxGraph
from flextune.importing.simplify.constants import partial_shapes

BY_ATTRIBUTE = frozenset(
    {"ArgMax", "ArgMin", "Concat", "Flatten", "Gather", "GatherElements", "Hardmax", "LayerNormalization"}
    | {"LogSoftmax", "Softmax", "Split", "Squeeze"}
    | {
        f"Reduce{name}"
        for name in ("L1", "L2", "LogSum", "LogSumExp", "Max", "Mean", "Min", "Prod", "Sum", "SumSquare")
    }
)
"""Operators whose attributes `axis` and `axes` count the axes of their first input."""

BY_INPUT = {name: 1 for name in BY_ATTRIBUTE if name.startswith("Reduce")} | {"Squeeze": 1, "Slice": 3, "Pad": 3}
"""Operator -> position of the input that holds its axes, of the operator set that has them there."""


def positive_axes(graph: OnnxGraph) -> None:
    """Count every axis from the front, where the rank is known.

    before: y = ReduceMean(x[1,8,4,4], axes=[-1,-2])   -->   after: y = ReduceMean(x, axes=[3,2])
    """
    shapes = partial_shapes(graph) if any(_has_negative(node, graph) for node in graph.nodes) else {}
    for node in graph.nodes:
        rank = len(shapes.get(node.input[0], ())) if node.input else 0
        if rank == 0 or not _has_negative(node, graph):
            continue
        for entry in node.attribute:
            if entry.name == "axis" and entry.i < 0:
                entry.i += rank
            elif entry.name == "axes":
                entry.ints[:] = [axis + rank if axis < 0 else axis for axis in entry.ints]
        axes = _axes_input(node, graph)
        if axes is not None:
            position = BY_INPUT[node.op_type]
            node.input[position] = graph.fresh_name(f"{node.output[0]}_axes")
            graph.constants[node.input[position]] = np.where(axes < 0, axes + rank, axes).astype(axes.dtype)


def _has_negative(node: onnx.NodeProto, graph: OnnxGraph) -> bool:
    if node.op_type in BY_ATTRIBUTE:
        for entry in node.attribute:
            if (entry.name == "axis" and entry.i < 0) or (
                entry.name == "axes" and any(axis < 0 for axis in entry.ints)
            ):
                return True
    axes = _axes_input(node, graph)
    return axes is not None and bool(np.any(axes < 0))


def _axes_input(node: onnx.NodeProto, graph: OnnxGraph) -> np.ndarray | None:
    position = BY_INPUT.get(node.op_type, 0)
    return graph.constants.get(node.input[position]) if 0 < position < len(node.input) else None
