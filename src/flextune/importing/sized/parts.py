"""Parts of tensors between ends that depend on sizes, and tensors with such margins."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx

from flextune.importing.onnx_graph import attribute
from flextune.importing.shapes.rules.slicing import first_element
from flextune.importing.shapes.tracked import Shape
from flextune.importing.sized.making import is_symbolic, shape_of
from flextune.importing.sized.writer import INT64, SizedWriter
from flextune.workload.dim_expr import DimExpr

_ZERO = DimExpr.of(0)
MODES = ("constant", "edge", "reflect", "wrap")


def slice_(node: onnx.NodeProto, writer: SizedWriter) -> bool:
    """One whose ends depend on sizes, or that takes so many elements of an axis of symbolic size.

    TVM would call the first one of an axis `min(1, size)` elements, and not stretch it where it is broadcast.
    """
    if len(node.input) < 3:
        return False
    source, result = shape_of(node.input[0], writer), shape_of(node.output[0], writer)
    starts = writer.table.elements(node.input[1])
    if not is_symbolic((*source, *result)) or starts is None:
        return False
    if _is_constant(node.input[1:], writer) and not _takes_a_number(source, result):
        return False
    axes = _integers(node, 3, writer) or list(range(len(starts)))
    steps = _integers(node, 4, writer) or [1] * len(starts)
    begins, strides = [_ZERO] * len(source), [1] * len(source)
    for axis, start, step in zip(axes, starts, steps, strict=True):
        first = first_element(start, source[axis % len(source)], step, writer.table.dims)
        if first is None:
            return False
        begins[axis % len(source)], strides[axis % len(source)] = first, step
    _write_slice(node.input[0], begins, strides, node.output[0], writer)
    return True


def _takes_a_number(source: Shape, result: Shape) -> bool:
    return any(size.value is None and taken.value is not None for size, taken in zip(source, result, strict=True))


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
    """Slices of an axis of symbolic size at places that are not constant; negative ones count from its end."""
    source, places = shape_of(node.input[0], writer), node.input[1]
    axis = attribute(node, "axis", 0) % len(source)
    if source[axis].value is not None or writer.constant_values(places) is not None:
        return False
    known = writer.table.elements(places)
    if known is None or any(size.bounds(writer.table.dims)[0] < 0 for size in known):
        places = _from_front(places, source[axis], writer)
    shape, dtype = shape_of(node.output[0], writer), writer.dtype(node.input[0])
    writer.sized("TakeAt", [node.input[0], places], shape, dtype, node.output[0], axis=axis)
    return True


def _from_front(places: str, size: DimExpr, writer: SizedWriter) -> str:
    whole = writer.emit("Cast", [places], to=INT64)
    below = writer.emit("Less", [whole, writer.constant(np.array(0, np.int64))])
    return writer.emit("Where", [below, writer.emit("Add", [whole, writer.sizes([size], [])]), whole])


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
