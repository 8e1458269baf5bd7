"""`Resize` along any axes, by scales or sizes, in every mode: spelt out where the importer would misread it."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import onnx

from flextune.importing.onnx_graph import OnnxGraph, attribute
from flextune.importing.simplify.constants import static_shapes
from flextune.importing.simplify.element_types import element_types
from flextune.importing.simplify.interpolation import (
    Interpolation,
    ResizedAxis,
    is_as_imported,
    nearest,
    outside,
    taps,
)
from flextune.importing.simplify.links import Shape

FLOAT = onnx.TensorProto.FLOAT
FLOATS = frozenset({FLOAT, onnx.TensorProto.DOUBLE, onnx.TensorProto.FLOAT16, onnx.TensorProto.BFLOAT16})

MOST_TAPS = 8
"""Sums of more elements are matrix products."""

IMAGE_RANKS = (3, 4, 5)
"""Of tensors that the importer resizes: batch, channels, and one to three axes that it calls spatial."""


def explicit_resizes(graph: OnnxGraph) -> None:
    """Write a `Resize` that the importer would read in another way as reads and weighted sums along each axis.

    before: y = Resize(x[1,4,6,3], scales=[1,2,2,1], mode=nearest)   -->   after: y = Gather(Gather(x, i), j)
    The importer resizes the last axes only, and computes coordinates from sizes where ONNX takes scales.
    """
    if graph.opset < 11 or not any(node.op_type == "Resize" for node in graph.nodes):
        return
    shapes, types = static_shapes(graph), element_types(graph)
    rewritten: list[onnx.NodeProto] = []
    for node in graph.nodes:
        shape, kind = shapes.get(node.input[0]) if node.op_type == "Resize" else None, types.get(node.input[0], 0)
        axes = resized_axes(node, shape, graph) if shape is not None else None
        how = interpolation(node)
        if (
            axes is None
            or (_is_plain(node) and _is_imported(axes, how))
            or not (how.mode == "nearest" or kind in FLOATS)
        ):
            rewritten.append(node)
        else:
            rewritten.extend(_Resizer(graph, node, how).along(axes, kind))
    graph.nodes = rewritten


def interpolation(node: onnx.NodeProto) -> Interpolation:
    """The attributes of a `Resize`."""
    return Interpolation(
        attribute(node, "mode", "nearest"),
        attribute(node, "coordinate_transformation_mode", "half_pixel"),
        attribute(node, "nearest_mode", "round_prefer_floor"),
        attribute(node, "cubic_coeff_a", -0.75),
        bool(attribute(node, "antialias", 0)),
        bool(attribute(node, "exclude_outside", 0)),
        attribute(node, "extrapolation_value", 0.0),
    )


def resized_axes(node: onnx.NodeProto, shape: Shape, graph: OnnxGraph) -> list[ResizedAxis] | None:
    """All axes of the input; None where what decides on them is not constant."""
    given = [graph.constants.get(name) if name else None for name in [*node.input[1:], "", "", ""][:3]]
    if any(name and array is None for name, array in zip(node.input[1:], given, strict=False)):
        return None
    region, scales, sizes = (None if array is None or array.size == 0 else array for array in given)
    chosen = [axis % len(shape) for axis in attribute(node, "axes", tuple(range(len(shape))))]
    found = [ResizedAxis(size, size, 1.0) for size in shape]
    for place, axis in enumerate(chosen):
        size = shape[axis]
        if scales is not None:
            scale = np.float32(scales[place])
            found[axis] = ResizedAxis(size, int(np.floor(scale * np.float32(size))), float(scale))
        elif sizes is not None:
            result = int(sizes[place])
            found[axis] = ResizedAxis(size, result, float(np.float32(result) / np.float32(size)))
        if region is not None and attribute(node, "coordinate_transformation_mode", "") == "tf_crop_and_resize":
            found[axis] = replace(found[axis], start=float(region[place]), end=float(region[place + len(chosen)]))
    policy = attribute(node, "keep_aspect_ratio_policy", "stretch")
    return found if policy == "stretch" or sizes is None else _in_proportion(found, chosen, policy)


def _in_proportion(axes: list[ResizedAxis], chosen: list[int], policy: str) -> list[ResizedAxis]:
    scales = [np.float32(axes[axis].scale) for axis in chosen]
    scale = min(scales) if policy == "not_larger" else max(scales)
    kept = {axis: math.floor(float(scale) * axes[axis].size + 0.5) for axis in chosen}
    return [
        ResizedAxis(each.size, kept[axis], float(scale), each.start, each.end) if axis in kept else each
        for axis, each in enumerate(axes)
    ]


def _is_plain(node: onnx.NodeProto) -> bool:
    """Whether the importer knows all attributes that say which axes become how large."""
    return all(entry.name not in ("axes", "keep_aspect_ratio_policy") for entry in node.attribute)


def _is_imported(axes: list[ResizedAxis], how: Interpolation) -> bool:
    is_image = len(axes) in IMAGE_RANKS and all(axis.is_kept for axis in axes[:2])
    return is_image and all(axis.is_kept or is_as_imported(axis, how) for axis in axes[2:])


class _Resizer:
    """Writes one `Resize`, axis after axis."""

    def __init__(self, graph: OnnxGraph, node: onnx.NodeProto, how: Interpolation) -> None:
        self._graph, self._node, self._how = graph, node, how
        self._nodes: list[onnx.NodeProto] = []

    def along(self, axes: list[ResizedAxis], kind: int) -> list[onnx.NodeProto]:
        value, rank = self._node.input[0], len(axes)
        is_narrow = self._how.mode != "nearest" and kind not in (FLOAT, onnx.TensorProto.DOUBLE)
        if is_narrow:
            value = self._emit("Cast", value, to=FLOAT)
        for place, axis in enumerate(axes):
            if not axis.is_kept:
                value = self._resized(value, axis, place, rank, kind)
        if is_narrow:
            value = self._emit("Cast", value, to=kind)
        end = onnx.helper.make_node("Identity", [value], [self._node.output[0]], name=self._node.name)
        return [*self._nodes, end]

    def _resized(self, value: str, axis: ResizedAxis, place: int, rank: int, kind: int) -> str:
        if self._how.mode == "nearest":
            value = self._emit("Gather", value, self._constant(nearest(axis, self._how)), axis=place)
        else:
            value = self._summed(value, axis, place, rank, kind)
        beyond = outside(axis, self._how)
        if not np.any(beyond):
            return value
        fill = self._constant(np.array(self._how.extrapolation, _element_type(kind)))
        return self._emit("Where", self._constant(_along(beyond, place, rank)), fill, value)

    def _summed(self, value: str, axis: ResizedAxis, place: int, rank: int, kind: int) -> str:
        elements, weights = taps(axis, self._how)
        weights = weights.astype(np.float64 if kind == onnx.TensorProto.DOUBLE else np.float32)
        if elements.shape[1] > MOST_TAPS:
            return self._product(value, elements, weights, axis, (place, rank))
        terms = []
        for tap in range(elements.shape[1]):
            read = self._emit("Gather", value, self._constant(elements[:, tap]), axis=place)
            factor = self._constant(_along(weights[:, tap], place, rank))
            terms.append(read if np.all(weights[:, tap] == 1) else self._emit("Mul", read, factor))
        total = terms[0]
        for term in terms[1:]:
            total = self._emit("Add", total, term)
        return total

    def _product(
        self, value: str, elements: np.ndarray, weights: np.ndarray, axis: ResizedAxis, where: tuple[int, int]
    ) -> str:
        matrix = np.zeros((axis.size, axis.result), weights.dtype)
        np.add.at(matrix, (elements, np.arange(axis.result)[:, None]), weights)
        place, rank = where
        order = [other for other in range(rank) if other != place] + [place]
        last = self._emit("Transpose", value, perm=order)
        product = self._emit("MatMul", last, self._constant(matrix))
        return self._emit("Transpose", product, perm=[order.index(each) for each in range(rank)])

    def _emit(self, operator: str, *inputs: str, **attributes: object) -> str:
        name = self._graph.fresh_name(f"{self._node.output[0]}_{operator.lower()}{len(self._nodes)}")
        self._nodes.append(onnx.helper.make_node(operator, list(inputs), [name], name=name, **attributes))
        return name

    def _constant(self, array: np.ndarray) -> str:
        name = self._graph.fresh_name(f"{self._node.output[0]}_constant")
        self._graph.constants[name] = array
        return name


def _element_type(kind: int) -> np.dtype:
    """Of what is computed with: a narrow float is widened, but for what is only read."""
    dtype: np.dtype = np.dtype(onnx.helper.tensor_dtype_to_np_dtype(kind))
    return dtype


def _along(vector: np.ndarray, place: int, rank: int) -> np.ndarray:
    """The vector as a tensor that is broadcast along all axes but one."""
    return vector.reshape([-1 if axis == place else 1 for axis in range(rank)])
