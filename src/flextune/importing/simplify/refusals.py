"""Nodes that the importer would take for something else than ONNX means by them: better no number than a wrong one."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx

from flextune.errors import ModelError
from flextune.importing.onnx_graph import OnnxGraph, attribute
from flextune.importing.simplify.constants import static_shapes
from flextune.importing.simplify.element_types import element_types
from flextune.importing.simplify.recurrent import why_no_loop
from flextune.importing.simplify.resizes import FLOATS, resized_axes

MAX_NODES_LISTED = 8


NARROW = ("FLOAT8", "FLOAT4", "FLOAT6", "INT4", "UINT4", "INT2", "UINT2", "COMPLEX", "STRING")
"""Beginnings of the names of element types that nothing here computes with."""

SHAPED_BY_VALUES = frozenset({"Compress", "NonZero", "NonMaxSuppression", "Unique"})


def refuse_elements(graph: OnnxGraph) -> None:
    """Raise ModelError that names the values whose element type nothing here computes with."""
    found: dict[str, list[str]] = {}
    for name, kind in element_types(graph).items():
        title = str(onnx.TensorProto.DataType.Name(kind))
        if title.startswith(NARROW):
            found.setdefault(title, []).append(name)
    if found:
        listed = [f"{kind} ({', '.join(names[:MAX_NODES_LISTED])})" for kind, names in sorted(found.items())]
        raise ModelError(
            f"model {graph.name!r} has values of element types that are not supported: {', '.join(listed)}"
        )


def refuse_misread(graph: OnnxGraph) -> None:
    """Raise ModelError that names every such node, with what cannot be done about it."""
    found: dict[str, list[str]] = {}
    for node in graph.nodes:
        reason = CHECKS[node.op_type](node, graph) if node.op_type in CHECKS else ""
        if node.op_type in SHAPED_BY_VALUES:
            reason = "gives a shape that depends on values, and shapes are static"
        if reason:
            found.setdefault(f"{node.op_type} {reason}", []).append(node.name or node.output[0])
    if not found:
        return
    listed = [f"{what}: {', '.join(names[:MAX_NODES_LISTED])}" for what, names in sorted(found.items())]
    raise ModelError(f"model {graph.name!r} cannot be run as it is: {'; '.join(listed)}")


def _batch_norm(node: onnx.NodeProto, graph: OnnxGraph) -> str:
    del graph
    if attribute(node, "training_mode", 0):
        return "in training mode is not supported; export the model for inference"
    return "with running statistics as outputs is not supported" if any(node.output[1:]) else ""


def _dropout(node: onnx.NodeProto, graph: OnnxGraph) -> str:
    mode = graph.constants.get(node.input[2]) if len(node.input) > 2 and node.input[2] else np.False_
    is_inference = mode is not None and not np.any(mode)
    return "" if is_inference else "in training mode is not supported; export the model for inference"


def _lrn(node: onnx.NodeProto, graph: OnnxGraph) -> str:
    del graph
    return "" if attribute(node, "size", 1) % 2 else "over an even number of channels is not supported"


def _conv_transpose(node: onnx.NodeProto, graph: OnnxGraph) -> str:
    asked = any(entry.name == "output_shape" for entry in node.attribute)
    return f"with a given output shape is not supported in operator set {graph.opset}" if asked else ""


def _recurrent(node: onnx.NodeProto, graph: OnnxGraph) -> str:
    return why_no_loop(node, graph, static_shapes(graph).get(node.input[0], ()))


def _resize(node: onnx.NodeProto, graph: OnnxGraph) -> str:
    kind, mode = element_types(graph).get(node.input[0], 0), attribute(node, "mode", "nearest")
    if mode != "nearest" and kind not in FLOATS:
        return f"of integers in mode {mode} is not supported"
    shape = static_shapes(graph).get(node.input[0], ())
    is_known = not shape or resized_axes(node, shape, graph) is not None
    return "" if is_known else "by sizes or in a region that are no constants is not supported"


def _gemm(node: onnx.NodeProto, graph: OnnxGraph) -> str:
    factors = [attribute(node, name, 1.0) for name in ("alpha", "beta")]
    is_whole = all(factor == int(factor) for factor in factors)
    if is_whole or element_types(graph).get(node.input[0], 0) in FLOATS:
        return ""
    return "of whole numbers with a fraction as a factor is not supported"


CHECKS: dict[str, Callable[[onnx.NodeProto, OnnxGraph], str]] = {
    "BatchNormalization": _batch_norm,
    "ConvTranspose": _conv_transpose,
    "Dropout": _dropout,
    "GRU": _recurrent,
    "Gemm": _gemm,
    "LRN": _lrn,
    "LSTM": _recurrent,
    "RNN": _recurrent,
    "Resize": _resize,
}
"""Operator -> why this node cannot be imported as it is used, empty where it can."""
