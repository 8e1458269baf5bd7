"""Transposed convolutions as convolutions of the image as it is, with results for every phase of the stride.

A result at s * q + r is a sum over the taps s * j + r of the window at q - j, so each of the s phases r is a plain
convolution with ceil(K / s) taps (Shi et al., "Is the deconvolution layer the same as a convolutional layer?", 2016).
No zeros are put between the elements and multiplied, and what is tuned is a convolution like any other.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import onnx

from flextune.importing.onnx_graph import OnnxGraph, attribute
from flextune.importing.simplify.constants import static_shapes
from flextune.importing.simplify.links import Shape, int64

OLDEST_OPSET = 10
"""Bounds of `Slice` are inputs from here on."""


def plain_convolutions(graph: OnnxGraph) -> None:
    """Write `ConvTranspose` with constant weights as a `Conv` for all phases, which are then put side by side.

    before: y = ConvTranspose(x[1,8,5,5], w[8,4,2,2], strides=[2,2])
    after:  c = Conv(x, w'[16,8,1,1]); y = Reshape(Transpose(Reshape(c, [1,2,2,4,5,5])), [1,4,10,10])
    """
    if graph.opset < OLDEST_OPSET or not any(node.op_type == "ConvTranspose" for node in graph.nodes):
        return
    shapes = static_shapes(graph)
    rewritten = []
    for node in graph.nodes:
        axes = _axes_of(node, graph, shapes) if node.op_type == "ConvTranspose" else None
        rewritten.extend([node] if axes is None else _by_phases(node, axes, graph, shapes))
    graph.nodes = rewritten


@dataclass(frozen=True, slots=True)
class _Axis:
    """A transposed convolution along one spatial axis.

    Its results fall into `stride` *phases*: each is a plain convolution that gives every stride-th result.
    """

    size: int
    """Of the image."""
    result: int
    """Of the result."""
    stride: int
    """Results per element of the image."""
    dilation: int
    """Results between taps of the window."""
    window: int
    """Taps of the window."""
    cut: int
    """What is cut off in front of the whole result."""

    @property
    def taps(self) -> int:
        """Taps of one phase."""
        return math.ceil(((self.window - 1) * self.dilation + 1) / self.stride)

    @property
    def first(self) -> int:
        return self.cut // self.stride

    @property
    def places(self) -> int:
        """The positions of the image at which all phases are computed."""
        return math.ceil((self.cut + self.result) / self.stride) - self.first

    @property
    def pads(self) -> tuple[int, int]:
        return self.taps - 1 - self.first, self.first + self.places - self.size

    @property
    def crop(self) -> tuple[int, int]:
        """The results that are kept, among those of all places."""
        start = self.cut - self.first * self.stride
        return start, start + self.result


def _axes_of(node: onnx.NodeProto, graph: OnnxGraph, shapes: dict[str, Shape]) -> tuple[_Axis, ...] | None:
    image, result = shapes.get(node.input[0]), shapes.get(node.output[0])
    weight = graph.constants.get(node.input[1])
    if weight is None or image is None or result is None or any(name not in graph.constants for name in node.input[2:]):
        return None
    rank = weight.ndim - 2
    strides, dilations = (attribute(node, name, (1,) * rank) for name in ("strides", "dilations"))
    pads = attribute(node, "pads", (0,) * (2 * rank))
    automatic = attribute(node, "auto_pad", "NOTSET")
    is_given = automatic.startswith("SAME") or any(entry.name == "output_shape" for entry in node.attribute)
    extra = attribute(node, "output_padding", (0,) * rank)
    axes = []
    for axis, window in enumerate(weight.shape[2:]):
        whole = strides[axis] * (image[2 + axis] - 1) + (window - 1) * dilations[axis] + 1 + extra[axis]
        total = whole - result[2 + axis]
        half = total // 2 if automatic == "SAME_UPPER" else total - total // 2
        cut = half if is_given else 0 if automatic == "VALID" else pads[axis]
        axes.append(_Axis(image[2 + axis], result[2 + axis], strides[axis], dilations[axis], window, cut))
    return tuple(axes) if all(axis.cut >= 0 and min(axis.pads) >= 0 for axis in axes) else None


def _by_phases(
    node: onnx.NodeProto, axes: tuple[_Axis, ...], graph: OnnxGraph, shapes: dict[str, Shape]
) -> list[onnx.NodeProto]:
    result, groups = node.output[0], attribute(node, "group", 1)
    weight = graph.constants[node.input[1]]
    names = [node.input[0], graph.fresh_name(f"{result}_weight")]
    graph.constants[names[1]] = _weights_of_phases(weight, axes, groups)
    phases = math.prod(axis.stride for axis in axes)
    if len(node.input) > 2:
        names.append(graph.fresh_name(f"{result}_bias"))
        bias = graph.constants[node.input[2]].reshape(groups, 1, -1)
        graph.constants[names[2]] = np.repeat(bias, phases, axis=1).reshape(-1)
    pads = [axis.pads[0] for axis in axes] + [axis.pads[1] for axis in axes]
    is_cropped = any(axis.crop != (0, axis.places * axis.stride) for axis in axes)
    whole = graph.fresh_name(f"{result}_whole") if is_cropped else result
    computed = graph.fresh_name(f"{result}_phases") if phases > 1 else whole
    nodes = [onnx.helper.make_node("Conv", names, [computed], name=node.name, pads=pads, group=groups)]
    if phases > 1:
        nodes += _side_by_side(computed, whole, axes, shapes[result][:2], groups, graph)
    return [*nodes, _cropped(whole, result, axes, graph)] if is_cropped else nodes


def _weights_of_phases(weight: np.ndarray, axes: tuple[_Axis, ...], groups: int) -> np.ndarray:
    """From [inputs, outputs of a group, *window] to [groups * phases * outputs, inputs of a group, *taps]."""
    inputs, outputs = weight.shape[:2]
    spread = np.zeros((inputs, outputs, *(axis.taps * axis.stride for axis in axes)), weight.dtype)
    window = [slice(0, (axis.window - 1) * axis.dilation + 1, axis.dilation) for axis in axes]
    spread[slice(None), slice(None), *window] = weight
    split = [size for axis in axes for size in (axis.taps, axis.stride)]
    taps, phases = ([first + 2 * place for place in range(len(axes))] for first in (3, 4))
    parts = np.flip(spread.reshape(groups, -1, outputs, *split), tuple(taps))
    ordered = np.transpose(parts, [0, *phases, 2, 1, *taps])
    return np.ascontiguousarray(ordered).reshape(-1, inputs // groups, *(axis.taps for axis in axes))


def _side_by_side(
    source: str, result: str, axes: tuple[_Axis, ...], images: Shape, groups: int, graph: OnnxGraph
) -> list[onnx.NodeProto]:
    """[n, groups * phases * outputs, *places] as images [n, groups * outputs, *(places * stride)]."""
    batch, channels = images
    count = len(axes)
    strides, places = [axis.stride for axis in axes], [axis.places for axis in axes]
    split, turned = graph.fresh_name(f"{result}_split"), graph.fresh_name(f"{result}_turned")
    apart = int64(graph, f"{split}_shape", [batch, groups, *strides, channels // groups, *places])
    joined = int64(graph, f"{result}_shape", [batch, channels, *(axis.places * axis.stride for axis in axes)])
    pairs = [place for axis in range(count) for place in (3 + count + axis, 2 + axis)]
    return [
        onnx.helper.make_node("Reshape", [source, apart], [split]),
        onnx.helper.make_node("Transpose", [split], [turned], perm=[0, 1, 2 + count, *pairs]),
        onnx.helper.make_node("Reshape", [turned, joined], [result]),
    ]


def _cropped(source: str, result: str, axes: tuple[_Axis, ...], graph: OnnxGraph) -> onnx.NodeProto:
    bounds = (
        [axis.crop[0] for axis in axes],
        [axis.crop[1] for axis in axes],
        [2 + place for place in range(len(axes))],
    )
    names = [
        int64(graph, f"{result}_{role}", values) for role, values in zip(("from", "to", "axes"), bounds, strict=True)
    ]
    return onnx.helper.make_node("Slice", [source, *names], [result])
