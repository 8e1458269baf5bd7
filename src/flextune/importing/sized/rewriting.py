"""Operators whose parameters depend on sizes, in terms of those that say sizes as expressions.

before: s = Shape(x); n = Gather(s, 1); p = Range(0, n, 1); y = Expand(p, s)
after:  p = Iota(sizes=[seq]); y = ExpandTo(p, sizes=[batch, seq])
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import onnx

from flextune.importing.onnx_graph import names_read, opset_version
from flextune.importing.shapes.removal import GivenSizes, without_shape_arithmetic
from flextune.importing.shapes.table import ShapeTable
from flextune.importing.shapes.tracked import Elements
from flextune.importing.sized.fitting import fit_operands
from flextune.importing.sized.images import resize, same_padding
from flextune.importing.sized.making import (
    cast_like,
    constant_of_shape,
    cumulative_sum,
    expand,
    eye_like,
    one_hot,
    range_,
    recurrent,
    reshape,
    tile,
    trilu,
)
from flextune.importing.sized.parts import gather, gather_elements, gather_nd, pad, slice_, split
from flextune.importing.sized.writer import INT64, SizedWriter

Rewrite = Callable[[onnx.NodeProto, SizedWriter], bool]
"""Writes a node in another way; False, and nothing written, where it stays as it is."""

_REWRITES: Mapping[str, Rewrite] = {
    "AveragePool": same_padding,
    "CastLike": cast_like,
    "ConstantOfShape": constant_of_shape,
    "Conv": same_padding,
    "CumSum": cumulative_sum,
    "Expand": expand,
    "EyeLike": eye_like,
    "Gather": gather,
    "GatherElements": gather_elements,
    "GRU": recurrent,
    "GatherND": gather_nd,
    "LSTM": recurrent,
    "MaxPool": same_padding,
    "OneHot": one_hot,
    "Pad": pad,
    "RNN": recurrent,
    "Range": range_,
    "Reshape": reshape,
    "Resize": resize,
    "Slice": slice_,
    "Split": split,
    "Tile": tile,
    "Trilu": trilu,
    "Upsample": resize,
}


def with_sized_operators(proto: onnx.ModelProto, table: ShapeTable) -> onnx.ModelProto:
    """The model without shape arithmetic; its `value_info` has the types of results that ONNX does not know.

    Nodes whose parameters data decide stay as they are.
    """
    given = without_shape_arithmetic(proto, table)
    changed, writer = given.proto, SizedWriter(table, opset_version(proto))
    for node in changed.graph.node:
        node = fit_operands(node, writer)
        rewrite = _REWRITES.get(node.op_type) if _is_followed(node, table) else None
        if rewrite is None or not rewrite(node, writer):
            writer.nodes.append(_copy(node))
    nodes = [*_given_nodes(given, writer), *writer.nodes]
    del changed.graph.node[:]
    changed.graph.node.extend(nodes)
    changed.graph.initializer.extend(writer.constants)
    changed.graph.value_info.extend(writer.known)
    _remove_given_inputs(changed, given)
    return changed


def _is_followed(node: onnx.NodeProto, table: ShapeTable) -> bool:
    """Whether all shapes of a node are known, and sizes of inputs are all that is in them."""
    decided = {each.dim.name for each in table.decided}
    shapes = [table.shape(name) for name in (*node.input, *node.output) if name]
    if node.domain not in ("", "ai.onnx") or None in shapes:
        return False
    return not any(size.names & decided for shape in shapes for size in shape or ())


def _given_nodes(given: GivenSizes, writer: SizedWriter) -> list[onnx.NodeProto]:
    """What gives small tensors of sizes to nodes that compute with them."""
    read = {name for node in writer.nodes for name in names_read(node)}
    makes = SizedWriter(writer.table, writer.opset)
    for name, elements in given.elements.items():
        if name in read:
            _give(name, elements, makes)
    writer.known += makes.known
    writer.constants += makes.constants
    return makes.nodes


def _give(name: str, elements: Elements, writer: SizedWriter) -> None:
    sizes = [each.numerator for each in elements.reshape(-1)]
    dtype = writer.dtype(name)
    if dtype == INT64:
        writer.sizes(sizes, elements.shape, name)
    else:
        writer.emit("Cast", [writer.sizes(sizes, elements.shape)], name, to=dtype)


def _remove_given_inputs(proto: onnx.ModelProto, given: GivenSizes) -> None:
    kept = [value for value in proto.graph.input if value.name not in given.elements]
    del proto.graph.input[:]
    proto.graph.input.extend(kept)


def _copy(node: onnx.NodeProto) -> onnx.NodeProto:
    return onnx.NodeProto.FromString(node.SerializeToString())
