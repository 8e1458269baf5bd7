"""Images of symbolic size: resizing, and windows whose margins follow from sizes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import onnx

from flextune.importing.onnx_graph import attribute
from flextune.importing.shapes.tracked import Shape
from flextune.importing.simplify.elements import FLOATS
from flextune.importing.sized.making import is_symbolic, shape_of
from flextune.importing.sized.writer import FLOAT, INT64, SizedWriter
from flextune.workload.dim_expr import DimExpr, ceil_div, maximum, minimum

_ZERO, _ONE = DimExpr.of(0), DimExpr.of(1)
_COORDINATES = ("half_pixel", "pytorch_half_pixel", "asymmetric", "align_corners")
_MODES = ("nearest", "linear", "cubic")


@dataclass(frozen=True, slots=True)
class _Axis:
    place: int
    size: DimExpr
    result: DimExpr
    scale: float | None
    """None where sizes are given: their quotient."""

    @property
    def whole_scale(self) -> int | None:
        """By how much it grows, if that is a whole number for all sizes."""
        if self.scale is not None:
            times = int(self.scale)
            return times if times == self.scale and self.result == self.size * times else None
        quotient = (self.result // self.size).value
        return quotient if quotient is not None and self.result == self.size * quotient else None


def resize(node: onnx.NodeProto, writer: SizedWriter) -> bool:
    """Reads and weighted sums along each axis; coordinates are float32, as ONNX Runtime computes them."""
    axes = _resized_axes(node, writer)
    mode = attribute(node, "mode", "nearest")
    mode = "linear" if mode == "bilinear" else mode
    if axes is None or mode not in _MODES or not _is_plain(node):
        return False
    name, dtype = node.input[0], writer.dtype(node.input[0])
    shape = list(shape_of(name, writer))
    if mode == "nearest" and axes and all(_is_repeated(node, axis) for axis in axes):
        writer.emit("Identity", [_repeated(name, shape, axes, dtype, writer)], node.output[0])
        return True
    if mode != "nearest" and dtype not in FLOATS:
        return False  # what is between two whole numbers is rounded as each runtime computes it
    if mode != "nearest" and dtype != FLOAT:
        name = writer.emit("Cast", [name], to=FLOAT)
    for axis in axes:
        kind = dtype if mode == "nearest" else FLOAT
        name = _Resized(node, axis, tuple(shape), kind, writer).of(name, mode)
        shape[axis.place] = axis.result
    if mode != "nearest" and dtype != FLOAT:
        writer.emit("Cast", [name], node.output[0], to=dtype)
    else:
        writer.emit("Identity", [name], node.output[0])
    return True


def _is_plain(node: onnx.NodeProto) -> bool:
    others = attribute(node, "antialias", 0) + attribute(node, "exclude_outside", 0)
    is_stretched = attribute(node, "keep_aspect_ratio_policy", "stretch") == "stretch"
    return _coordinates(node) in _COORDINATES and others == 0 and is_stretched


def _coordinates(node: onnx.NodeProto) -> str:
    is_old = node.op_type == "Upsample" or len(node.input) == 2
    return "asymmetric" if is_old else attribute(node, "coordinate_transformation_mode", "half_pixel")


def _rounding(node: onnx.NodeProto) -> str:
    is_old = node.op_type == "Upsample" or len(node.input) == 2
    return "floor" if is_old else attribute(node, "nearest_mode", "round_prefer_floor")


def _resized_axes(node: onnx.NodeProto, writer: SizedWriter) -> list[_Axis] | None:
    source, result = shape_of(node.input[0], writer), shape_of(node.output[0], writer)
    if not is_symbolic((*source, *result)):
        return None
    scales = _scales(node, len(source), writer)
    if scales is None:
        return None
    axes = [_Axis(place, *sizes, scales[place]) for place, sizes in enumerate(zip(source, result, strict=True))]
    return [axis for axis in axes if axis.size != axis.result or axis.scale not in (None, 1.0)]


def _scales(node: onnx.NodeProto, rank: int, writer: SizedWriter) -> list[float | None] | None:
    """Of each axis; None in place of all of them where data decide."""
    if len(node.input) > 3 and node.input[3]:
        return [None] * rank
    position = 1 if len(node.input) == 2 else 2
    if position >= len(node.input):  # Upsample of version 7
        return list(attribute(node, "scales", ())) or None
    values = writer.constant_values(node.input[position])
    if values is None:
        return None
    axes = attribute(node, "axes", ()) or range(rank)
    given = dict(zip((axis % rank for axis in axes), values.reshape(-1), strict=True))
    return [float(np.float32(given.get(axis, 1.0))) for axis in range(rank)]


def _is_repeated(node: onnx.NodeProto, axis: _Axis) -> bool:
    """Whether each element is there so many times, and nothing else."""
    if axis.whole_scale is None:
        return False
    if _coordinates(node) == "asymmetric":
        return _rounding(node) == "floor"
    return _coordinates(node) in ("half_pixel", "pytorch_half_pixel") and _rounding(node).startswith("round")


def _repeated(name: str, shape: Sequence[DimExpr], axes: Sequence[_Axis], dtype: int, writer: SizedWriter) -> str:
    """The elements with axes of length 1 behind, which are stretched."""
    times = {axis.place: axis.whole_scale or 1 for axis in axes}
    spread: list[DimExpr] = []
    stretched: list[DimExpr] = []
    result: list[DimExpr] = []
    for place, size in enumerate(shape):
        spread += [size, _ONE] if place in times else [size]
        stretched += [size, DimExpr.of(times[place])] if place in times else [size]
        result.append(size * times.get(place, 1))
    value = writer.reshaped(name, tuple(spread), dtype)
    value = writer.sized("ExpandTo", [value], tuple(stretched), dtype)
    return writer.reshaped(value, tuple(result), dtype)


class _Resized:
    """One axis of a `Resize` of a tensor of this shape and element type."""

    def __init__(self, node: onnx.NodeProto, axis: _Axis, shape: Shape, dtype: int, writer: SizedWriter) -> None:
        self._node, self._axis, self._writer = node, axis, writer
        self.shape, self.dtype = shape, dtype

    def of(self, name: str, mode: str) -> str:
        places = self._coordinates()
        if mode == "nearest":
            return self._read(name, self._rounded(places))
        return self._linear(name, places) if mode == "linear" else self._cubic(name, places)

    def _coordinates(self) -> str:
        """For each result its place among the elements, a fraction."""
        axis, writer, kind = self._axis, self._writer, _coordinates(self._node)
        place = writer.emit("Cast", [writer.iota(axis.result)], to=FLOAT)
        if kind == "align_corners":
            steps = maximum(axis.result - 1, 1).simplified(writer.table.dims)
            along = writer.emit("Mul", [place, writer.floats([axis.size - 1])])
            return writer.emit("Div", [along, writer.floats([steps])])
        if kind == "asymmetric":
            return writer.emit("Div", [place, self._scale()])
        half = writer.constant(np.array([0.5], np.float32))
        middle = writer.emit("Div", [writer.emit("Add", [place, half]), self._scale()])
        found = writer.emit("Sub", [middle, half])
        dims = writer.table.dims
        if kind == "half_pixel" or axis.result.bounds(dims)[0] > 1:
            return found
        is_several = minimum(axis.result - 1, 1).simplified(dims)  # one result is the first element, for PyTorch
        return writer.emit("Mul", [found, writer.floats([is_several])])

    def _scale(self) -> str:
        if self._axis.scale is not None:
            return self._writer.constant(np.array([self._axis.scale], np.float32))
        result, size = (self._writer.floats([each]) for each in (self._axis.result, self._axis.size))
        return self._writer.emit("Div", [result, size])

    def _rounded(self, places: str) -> str:
        """Without adding a half, which would round."""
        writer, rounding = self._writer, _rounding(self._node)
        if rounding in ("floor", "ceil"):
            return writer.emit("Floor" if rounding == "floor" else "Ceil", [places])
        whole = writer.emit("Floor", [places])
        rest = writer.emit("Sub", [places, whole])
        compare = "GreaterOrEqual" if rounding == "round_prefer_ceil" else "Greater"
        is_up = writer.emit(compare, [rest, writer.constant(np.array([0.5], np.float32))])
        return writer.emit("Add", [whole, writer.emit("Cast", [is_up], to=FLOAT)])

    def _read(self, name: str, places: str) -> str:
        """The elements there, or at the ends."""
        writer = self._writer
        whole = writer.emit("Cast", [places], to=INT64)
        positive = writer.emit("Max", [whole, writer.constant(np.array([0], np.int64))])
        inside = writer.emit("Min", [positive, writer.sizes([self._axis.size - 1])])
        shape = tuple(self._axis.result if place == self._axis.place else size for place, size in enumerate(self.shape))
        return writer.sized("TakeAt", [name, inside], shape, self.dtype, axis=self._axis.place)

    def _along(self, weights: str) -> str:
        shape: Shape = tuple(self._axis.result if at == self._axis.place else _ONE for at in range(len(self.shape)))
        return self._writer.reshaped(weights, shape, FLOAT)

    def _linear(self, name: str, places: str) -> str:
        writer, one = self._writer, self._writer.constant(np.array([1], np.float32))
        last = writer.floats([self._axis.size - 1])
        zero = writer.constant(np.array([0], np.float32))
        inside = writer.emit("Min", [writer.emit("Max", [places, zero]), last])
        below = writer.emit("Floor", [inside])
        share = writer.emit("Sub", [inside, below])
        low, high = self._read(name, below), self._read(name, writer.emit("Add", [below, one]))
        less = writer.emit("Mul", [low, self._along(writer.emit("Sub", [one, share]))])
        return writer.emit("Add", [less, writer.emit("Mul", [high, self._along(share)])])

    def _cubic(self, name: str, places: str) -> str:
        """Keys, "Cubic convolution interpolation for digital image processing", 1981."""
        writer, a = self._writer, attribute(self._node, "cubic_coeff_a", -0.75)
        below = writer.emit("Floor", [places])
        share = writer.emit("Sub", [places, below])
        total = ""
        for tap in (-1, 0, 1, 2):
            offset = writer.constant(np.array([tap], np.float32))
            distance = writer.emit("Abs", [writer.emit("Sub", [share, offset])])
            weights = self._along(_cubic_weights(distance, a, abs(tap - 0.5) < 1, writer))
            term = writer.emit("Mul", [self._read(name, writer.emit("Add", [below, offset])), weights])
            total = term if not total else writer.emit("Add", [total, term])
        return total


def _cubic_weights(distance: str, a: float, is_near: bool, writer: SizedWriter) -> str:
    """((c3 * d + c2) * d + c1) * d + c0"""
    factors = (a + 2, -(a + 3), 0.0, 1.0) if is_near else (a, -5 * a, 8 * a, -4 * a)
    found = writer.constant(np.array([factors[0]], np.float32))
    for factor in factors[1:]:
        scaled = writer.emit("Mul", [found, distance])
        found = writer.emit("Add", [scaled, writer.constant(np.array([factor], np.float32))])
    return found


def same_padding(node: onnx.NodeProto, writer: SizedWriter) -> bool:
    """`auto_pad` along axes of symbolic size: margins are written, by a tensor with margins where they depend on it."""
    how = attribute(node, "auto_pad", "NOTSET")
    source, result = shape_of(node.input[0], writer), shape_of(node.output[0], writer)
    if how not in ("SAME_UPPER", "SAME_LOWER") or not is_symbolic(source[2:]):
        return False
    totals = _margins(node, source, result, writer)
    befores = [total // 2 if how == "SAME_UPPER" else ceil_div(total, 2) for total in totals]
    plain = onnx.NodeProto.FromString(node.SerializeToString())
    kept = [entry for entry in plain.attribute if entry.name not in ("auto_pad", "pads")]
    del plain.attribute[:]
    plain.attribute.extend(kept)
    if all(total.value is not None for total in totals):
        afters = [total - before for total, before in zip(totals, befores, strict=True)]
        pads = [each.value for each in (*befores, *afters)]
        plain.attribute.append(onnx.helper.make_attribute("pads", pads))
        writer.nodes.append(plain)
        return True
    if node.op_type == "AveragePool":
        return False
    padded = (*source[:2], *(size + total for size, total in zip(source[2:], totals, strict=True)))
    margins = writer.sizes([_ZERO, _ZERO, *befores])
    dtype = writer.dtype(node.input[0])
    lowest = "0" if node.op_type == "Conv" else _lowest(dtype)
    plain.input[0] = writer.sized("PadTo", [node.input[0], margins], padded, dtype, mode="constant", value=lowest)
    writer.nodes.append(plain)
    return True


def _lowest(dtype: int) -> str:
    """The least number of an element type, or of float32."""
    kind = onnx.helper.tensor_dtype_to_np_dtype(dtype)
    return str(np.iinfo(kind).min) if kind.kind in "iu" else repr(float(np.finfo(np.float32).min))


def _margins(node: onnx.NodeProto, source: Shape, result: Shape, writer: SizedWriter) -> list[DimExpr]:
    """How much is added to each axis in all, so that there are as many windows as the result has elements."""
    spatial = len(source) - 2
    kernel = attribute(node, "kernel_shape", ())
    if not kernel:
        kernel = tuple(size.value or 1 for size in shape_of(node.input[1], writer)[2:])
    strides = attribute(node, "strides", ()) or (1,) * spatial
    dilations = attribute(node, "dilations", ()) or (1,) * spatial
    totals = []
    for axis in range(spatial):
        reach = (kernel[axis] - 1) * dilations[axis] + 1
        total = (result[axis + 2] - 1) * strides[axis] + reach - source[axis + 2]
        totals.append(maximum(total, 0).simplified(writer.table.dims))
    return totals
