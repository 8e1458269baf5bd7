"""Parts of tensors between ends that depend on sizes, and tensors with such margins."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx

from flextune.importing.onnx_graph import attribute
from flextune.importing.shapes.rules.slicing import first_element
from flextune.importing.sized.making import is_symbolic, shape_of
from flextune.importing.sized.writer import INT64, SizedWriter
from flextune.workload.dim_expr import DimExpr

_ZERO, _ONE = DimExpr.of(0), DimExpr.of(1)
MODES = ("constant", "edge", "reflect", "wrap")


def slice_(node: onnx.NodeProto, writer: SizedWriter) -> bool:
    """One whose ends depend on sizes, or that is of an axis of symbolic size.

    TVM would call what is left of an axis behind its first element `min(2**62, size) - min(1, size)` elements, which is
    equal to nothing.
    """
    source, result = shape_of(node.input[0], writer), shape_of(node.output[0], writer)
    if not is_symbolic((*source, *result)):
        return False
    starts, axes, steps = _bounds(node, writer)
    if starts is None:
        return False
    axes = axes or list(range(len(starts)))
    if _is_constant(node.input[1:], writer) and all(source[axis].value is not None for axis in axes):
        return False
    steps = steps or [1] * len(starts)
    begins, strides = [_ZERO] * len(source), [1] * len(source)
    for axis, start, step in zip(axes, starts, steps, strict=True):
        first = first_element(start, source[axis], step, writer.table.dims)
        if first is None:
            return False
        begins[axis], strides[axis] = first, step
    if result == source and not any(step < 0 for step in strides):
        writer.emit("Identity", [node.input[0]], node.output[0])
    else:
        _write_slice(node.input[0], begins, strides, node.output[0], writer)
    return True


def _bounds(
    node: onnx.NodeProto, writer: SizedWriter
) -> tuple[Sequence[DimExpr] | None, list[int] | None, list[int] | None]:
    """Where a slice starts, on which axes, with which steps; attributes before operator set 10."""
    if len(node.input) < 3:
        return [DimExpr.of(start) for start in attribute(node, "starts", ())], list(attribute(node, "axes", ())), None
    return writer.table.elements(node.input[1]), _integers(node, 3, writer), _integers(node, 4, writer)


def _is_constant(names: Sequence[str], writer: SizedWriter) -> bool:
    return all(not name or writer.constant_values(name) is not None for name in names)


def _integers(node: onnx.NodeProto, position: int, writer: SizedWriter) -> list[int] | None:
    if position >= len(node.input) or not node.input[position]:
        return None
    values = writer.constant_values(node.input[position])
    return None if values is None else [int(value) for value in values.reshape(-1)]


def _write_slice(
    name: str, begins: Sequence[DimExpr], strides: Sequence[int], output: str, writer: SizedWriter
) -> None:
    shape = shape_of(output, writer)
    writer.sized("SliceTo", [name, writer.sizes(begins)], shape, writer.dtype(name), output, steps=list(strides))


def gather(node: onnx.NodeProto, writer: SizedWriter) -> bool:
    """Slices of a tensor of symbolic size at several places, or at one that is not constant.

    TVM would compute from its shape what negative places are.
    """
    source, places = shape_of(node.input[0], writer), node.input[1]
    axis = attribute(node, "axis", 0) % len(source)
    is_one = shape_of(places, writer) in ((), (_ONE,)) and writer.constant_values(places) is not None
    if not is_symbolic(source) or is_one:
        return False
    places = _from_front(places, [source[axis]], writer)
    shape, dtype = shape_of(node.output[0], writer), writer.dtype(node.input[0])
    writer.sized("TakeAt", [node.input[0], places], shape, dtype, node.output[0], axis=axis)
    return True


def gather_elements(node: onnx.NodeProto, writer: SizedWriter) -> bool:
    """As `gather`, of elements."""
    source, shape = shape_of(node.input[0], writer), shape_of(node.output[0], writer)
    axis = attribute(node, "axis", 0) % len(source)
    if not is_symbolic((*source, *shape)):
        return False
    inputs = [node.input[0], _from_front(node.input[1], [source[axis]], writer)]
    writer.sized("TakeElementsAt", inputs, shape, writer.dtype(node.input[0]), node.output[0], axis=axis)
    return True


def gather_nd(node: onnx.NodeProto, writer: SizedWriter) -> bool:
    """As `gather`, of slices whose places along several axes are given."""
    source, places = shape_of(node.input[0], writer), shape_of(node.input[1], writer)
    batch, depth = attribute(node, "batch_dims", 0), places[-1].value
    shape = shape_of(node.output[0], writer)
    if depth is None or not is_symbolic((*source, *shape)):
        return False
    inputs = [node.input[0], _from_front(node.input[1], source[batch : batch + depth], writer)]
    writer.sized("TakeSlicesAt", inputs, shape, writer.dtype(node.input[0]), node.output[0], batch=batch)
    return True


def _from_front(places: str, sizes: Sequence[DimExpr], writer: SizedWriter) -> str:
    """Places along axes of these sizes, without those that count from the end; one axis, or one for each last index."""
    known = writer.table.elements(places)
    if known is not None and all(place.bounds(writer.table.dims)[0] >= 0 for place in known):
        return places
    whole = writer.emit("Cast", [places], to=INT64)
    below = writer.emit("Less", [whole, writer.constant(np.array(0, np.int64))])
    shifted = writer.emit("Add", [whole, writer.sizes(sizes, [] if len(sizes) == 1 else None)])
    return writer.emit("Where", [below, shifted, whole])


def split(node: onnx.NodeProto, writer: SizedWriter) -> bool:
    """Parts of an axis of symbolic size, or of lengths that are."""
    source = shape_of(node.input[0], writer)
    axis = attribute(node, "axis", 0) % len(source)
    lengths = [shape_of(name, writer)[axis] for name in node.output]
    if not is_symbolic((source[axis], *lengths)):
        return False
    begin = _ZERO
    for name, length in zip(node.output, lengths, strict=True):
        begins = [begin if place == axis else _ZERO for place in range(len(source))]
        _write_slice(node.input[0], begins, [1] * len(source), name, writer)
        begin = begin + length
    return True


def pad(node: onnx.NodeProto, writer: SizedWriter) -> bool:
    """One by margins that depend on sizes."""
    if len(node.input) < 2 or _is_constant(node.input[1:], writer):
        return False
    pads, source = writer.table.elements(node.input[1]), shape_of(node.input[0], writer)
    mode, value = attribute(node, "mode", "constant"), _padded_with(node, writer)
    if pads is None or mode not in MODES or value is None:
        return False
    axes = _integers(node, 3, writer) or list(range(len(source)))
    befores = [_ZERO] * len(source)
    for axis, before in zip(axes, pads, strict=False):
        befores[axis % len(source)] = before
    inputs = [node.input[0], writer.sizes(befores)]
    dtype = writer.dtype(node.input[0])
    writer.sized("PadTo", inputs, shape_of(node.output[0], writer), dtype, node.output[0], mode=mode, value=value)
    return True


def _padded_with(node: onnx.NodeProto, writer: SizedWriter) -> str | None:
    """As a text: an attribute that is a number has 24 bits."""
    if len(node.input) < 3 or not node.input[2]:
        return "0"
    value = writer.constant_values(node.input[2])
    return None if value is None else repr(value.reshape(-1)[0].item())
