"""`RoiAlign` with coordinates as the importer takes them, and that of maxima, which it lacks."""

from __future__ import annotations

import numpy as np
import onnx

from flextune.importing.onnx_graph import OnnxGraph, attribute
from flextune.importing.simplify.element_types import element_types
from flextune.importing.simplify.writer import Writer


def roi_align(write: Writer) -> None:
    """The largest of samples is a kernel of our own; means of samples are the importer's."""
    if attribute(write.node, "mode", "avg") != "max":
        write.copied(write.node)
        return
    ratio = attribute(write.node, "sampling_ratio", 0)
    if ratio < 1:
        write.refuse("the number of samples of maxima depends on the boxes")
    is_half = _takes_half(write.node, write.graph)
    attributes = {
        "ratio": ratio,
        "scale": attribute(write.node, "spatial_scale", 1.0),
        "offset": 0.5 if is_half else 0.0,
        "half_pixel": int(is_half),
    }
    shape = (
        write.shape(write.input(1))[0],
        write.shape(write.input(0))[1],
        attribute(write.node, "output_height", 1),
        attribute(write.node, "output_width", 1),
    )
    given = [write.input(place) for place in range(3)]
    write.kernel("roi_align_max", given, write.kind(write.input(0)), shape, write.output(0), **attributes)


def shifted_regions(graph: OnnxGraph) -> None:
    """Move the boxes of `RoiAlign` so that half a pixel is taken off behind the scaling, where ONNX takes it.

    before: y = RoiAlign(x, boxes, i, spatial_scale=s)   -->   after: y = RoiAlign(x, Add(boxes, 0.5 - 0.5 / s), i)
    The importer takes it off before: s * (box - 0.5) instead of s * box - 0.5.
    """
    if not any(node.op_type == "RoiAlign" for node in graph.nodes):
        return
    types = element_types(graph)
    rewritten: list[onnx.NodeProto] = []
    for node in graph.nodes:
        if node.op_type == "RoiAlign" and _takes_half(node, graph):
            rewritten.extend(_shift(node, types.get(node.input[1], onnx.TensorProto.FLOAT), graph))
        rewritten.append(node)
    graph.nodes = rewritten


def _takes_half(node: onnx.NodeProto, graph: OnnxGraph) -> bool:
    usual = "half_pixel" if graph.opset >= 16 else "output_half_pixel"
    return attribute(node, "coordinate_transformation_mode", usual) == "half_pixel"


def _shift(node: onnx.NodeProto, kind: int, graph: OnnxGraph) -> list[onnx.NodeProto]:
    offset = 0.5 - 0.5 / attribute(node, "spatial_scale", 1.0)
    if offset == 0.0:
        return []
    boxes, name = node.input[1], graph.fresh_name(f"{node.output[0]}_offset")
    graph.constants[name] = np.array(offset, onnx.helper.tensor_dtype_to_np_dtype(kind))
    node.input[1] = graph.fresh_name(f"{node.output[0]}_boxes")
    return [onnx.helper.make_node("Add", [boxes, name], [node.input[1]])]
