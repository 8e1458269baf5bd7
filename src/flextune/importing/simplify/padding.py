"""Padding written out: what `auto_pad` and `ceil_mode` stand for, and `Pad` that also takes away."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import onnx

from flextune.importing.onnx_graph import OnnxGraph, attribute
from flextune.importing.simplify.constants import static_shapes
from flextune.importing.simplify.links import Links, remove_unused

POOLED = frozenset({"MaxPool", "AveragePool"})
WINDOWED = POOLED | {"Conv", "LpPool"}


def explicit_padding(graph: OnnxGraph) -> None:
    """Give convolutions and poolings `pads` instead of `auto_pad` and `ceil_mode` (ONNX operators, "Conv", "MaxPool").

    before: MaxPool(x[1,3,32,32], kernel_shape=[2,2], auto_pad=SAME_UPPER)   -->   after: MaxPool(x, pads=[0,0,1,1])
    An average that counts its padding but not what `ceil_mode` adds reads a padded input.
    """
    if not any(_is_implicit(node) for node in graph.nodes):
        return
    shapes = static_shapes(graph)
    rewritten = []
    for node in graph.nodes:
        windows = windows_of(node, shapes) if _is_implicit(node) else None
        rewritten.extend([node] if windows is None else _explicit(node, windows, graph))
    graph.nodes = rewritten


@dataclass(frozen=True, slots=True)
class Window:
    """A window (of a convolution or a pool) along one spatial axis."""

    size: int
    """Of the input."""
    extent: int
    """Of the window, with dilation."""
    stride: int
    """Between windows."""
    before: int
    """Padding in front."""
    after: int
    """Padding behind."""
    beyond: int
    """What `ceil_mode` needs behind that, for a last window that is not whole."""


def _is_implicit(node: onnx.NodeProto) -> bool:
    if node.op_type not in WINDOWED:
        return False
    return attribute(node, "auto_pad", "NOTSET") != "NOTSET" or bool(attribute(node, "ceil_mode", 0))


def windows_of(node: onnx.NodeProto, shapes: dict[str, tuple[int, ...]]) -> tuple[Window, ...] | None:
    shape = shapes.get(node.input[0])
    weight = shapes.get(node.input[1]) if node.op_type == "Conv" else None
    kernel = attribute(node, "kernel_shape", () if weight is None else weight[2:])
    if shape is None or len(kernel) != len(shape) - 2:
        return None
    rank = len(kernel)
    strides = attribute(node, "strides", (1,) * rank)
    dilations = attribute(node, "dilations", (1,) * rank)
    pads = attribute(node, "pads", (0,) * (2 * rank))
    automatic = attribute(node, "auto_pad", "NOTSET")
    windows = []
    for axis, (size, width) in enumerate(zip(shape[2:], kernel, strict=True)):
        extent, stride = (width - 1) * dilations[axis] + 1, strides[axis]
        before, after = (0, 0) if automatic == "VALID" else (pads[axis], pads[axis + rank])
        if automatic.startswith("SAME"):
            before, after = _same(size, extent, stride, automatic)
        beyond = _beyond(size, extent, stride, before, after) if attribute(node, "ceil_mode", 0) else 0
        windows.append(Window(size, extent, stride, before, after, beyond))
    return tuple(windows)


def _same(size: int, extent: int, stride: int, automatic: str) -> tuple[int, int]:
    """Padding for ceil(size / stride) windows; an odd one goes to the end, for SAME_LOWER to the front."""
    total = max((math.ceil(size / stride) - 1) * stride + extent - size, 0)
    half = total // 2
    return (total - half, half) if automatic == "SAME_LOWER" else (half, total - half)


def _beyond(size: int, extent: int, stride: int, before: int, after: int) -> int:
    """Elements that the last window of `ceil_mode` reads behind the padding; windows that begin there do not count."""
    windows = math.ceil((size + before + after - extent) / stride) + 1
    if (windows - 1) * stride >= size + before:
        windows -= 1
    return max((windows - 1) * stride + extent - (size + before + after), 0)


def _explicit(node: onnx.NodeProto, windows: tuple[Window, ...], graph: OnnxGraph) -> list[onnx.NodeProto]:
    changed = onnx.NodeProto()
    changed.CopyFrom(node)
    for name in ("auto_pad", "ceil_mode", "pads"):
        _drop_attribute(changed, name)
    before, after = [window.before for window in windows], [window.after for window in windows]
    beyond = [window.beyond for window in windows]
    nodes = [changed]
    if any(beyond) and node.op_type == "AveragePool" and attribute(node, "count_include_pad", 0):
        padded = graph.fresh_name(f"{node.input[0]}_padded")
        nodes.insert(0, pad_node(node.input[0], padded, [0, 0, *before, 0, 0, *after], graph))
        changed.input[0] = padded
        _drop_attribute(changed, "count_include_pad")
        before, after = [0] * len(before), [0] * len(after)
    ends = [size + more for size, more in zip(after, beyond, strict=True)]
    changed.attribute.append(onnx.helper.make_attribute("pads", [*before, *ends]))
    return nodes


def clip_windows(graph: OnnxGraph) -> None:
    """Make windows that hold the whole image, and more, as large as the image.

    before: AveragePool(x[1,1280,7,7], kernel_shape=[1280,1280], pads=[0,0,1273,1273])
    after:  AveragePool(x, kernel_shape=[7,7], pads=[0,0,0,0])
    """
    shapes = static_shapes(graph) if any(node.op_type in POOLED for node in graph.nodes) else {}
    for node in graph.nodes:
        windows = windows_of(node, shapes) if node.op_type in POOLED and not _is_implicit(node) else None
        if windows is None or any(width > 1 for width in attribute(node, "dilations", ())):
            continue
        counts_pads = node.op_type == "AveragePool" and bool(attribute(node, "count_include_pad", 0))
        clipped = [_clipped(window, counts_pads) for window in windows]
        if clipped != list(windows):
            pads = [each.before for each in clipped] + [each.after for each in clipped]
            for name, values in (("kernel_shape", [each.extent for each in clipped]), ("pads", pads)):
                _drop_attribute(node, name)
                node.attribute.append(onnx.helper.make_attribute(name, values))


def _clipped(window: Window, counts_pads: bool) -> Window:
    """The same window within the image, where it is the only one and holds all of it."""
    size, extent, padding = window.size, window.extent, window.before + window.after
    is_only = 0 <= size + padding - extent < window.stride
    if not is_only or extent - window.before < size or (counts_pads and padding):
        return window
    return replace(window, extent=size, before=0, after=0)


def split_negative_pads(graph: OnnxGraph) -> None:
    """Let `Pad` only add; what it takes away is a `Slice` before it.

    before: y = Pad(x, [-1, 2])   -->   after: t = Slice(x, starts=[1]); y = Pad(t, [0, 2])
    """
    rewritten = []
    for node in graph.nodes:
        pads = graph.constants.get(node.input[1]) if node.op_type == "Pad" and len(node.input) > 1 else None
        if pads is None or not np.any(pads < 0):
            rewritten.append(node)
            continue
        rewritten.append(_crop(node, pads, graph))
        node.input[1] = graph.fresh_name(f"{node.output[0]}_pads")
        graph.constants[node.input[1]] = np.maximum(pads, 0)
        rewritten.append(node)
    graph.nodes = rewritten


def _crop(node: onnx.NodeProto, pads: np.ndarray, graph: OnnxGraph) -> onnx.NodeProto:
    """The `Slice` for the negative ones of `pads`; `node` reads what it gives."""
    count = len(pads) // 2
    axes = graph.constants.get(node.input[3]) if len(node.input) > 3 and node.input[3] else np.arange(count)
    assert axes is not None, "axes of a Pad with constant pads are constant"
    ends = np.where(pads[count:] < 0, pads[count:], np.iinfo(np.int64).max)
    names = [node.input[0]]
    for role, values in (("starts", np.maximum(-pads[:count], 0)), ("ends", ends), ("axes", axes)):
        names.append(graph.fresh_name(f"{node.output[0]}_crop_{role}"))
        graph.constants[names[-1]] = np.asarray(values, np.int64)
    node.input[0] = graph.fresh_name(f"{node.output[0]}_cropped")
    return onnx.helper.make_node("Slice", names, [node.input[0]], name=f"{node.name}_crop")


def pad_by_convolution(graph: OnnxGraph) -> None:
    """Let a convolution put the zeros around its images that a `Pad` before it puts there.

    before: p = Pad(x, [0, 0, 1, 1, 0, 0, 1, 1]); y = Conv(p, w)   -->   after: y = Conv(x, w, pads=[1, 1, 1, 1])
    """
    if not any(node.op_type == "Pad" for node in graph.nodes):
        return
    links = Links.of(graph)
    for node in graph.nodes:
        padding = links.writer(node.input[0], "Pad") if node.op_type == "Conv" else None
        if padding is None or attribute(node, "auto_pad", "NOTSET") != "NOTSET":
            continue
        zeros = _zeros_around(padding, links)
        if zeros is None:
            continue
        pads = np.array(attribute(node, "pads", (0,) * zeros.size)) + zeros
        _drop_attribute(node, "pads")
        node.attribute.append(onnx.helper.make_attribute("pads", [int(each) for each in pads]))
        node.input[0] = padding.input[0]
    remove_unused(graph)


def _zeros_around(node: onnx.NodeProto, links: Links) -> np.ndarray | None:
    """How many zeros a `Pad` puts before and behind the spatial axes, if it puts them nowhere else; None if not so."""
    constants = [links.constant(name) if name else None for name in [*node.input[1:4], "", "", ""][:3]]
    is_known = all(array is not None for array, name in zip(constants, node.input[1:4], strict=False) if name)
    pads, fill, axes = constants
    shape = links.shapes.get(node.input[0])
    if pads is None or shape is None or not is_known or attribute(node, "mode", "constant") != "constant":
        return None
    whole = np.zeros((2, len(shape)), np.int64)
    whole[:, np.arange(len(shape)) if axes is None else axes] = pads.reshape(2, -1)
    if np.any(whole < 0) or np.any(whole[:, :2]) or (fill is not None and np.any(fill)):
        return None
    return whole[:, 2:].reshape(-1)


def pad_node(source: str, result: str, pads: list[int], graph: OnnxGraph) -> onnx.NodeProto:
    """A `Pad` with zeros in the form of the graph's operator set."""
    if graph.opset < 11:
        return onnx.helper.make_node("Pad", [source], [result], name=result, pads=pads)
    name = graph.fresh_name(f"{result}_pads")
    graph.constants[name] = np.array(pads, np.int64)
    return onnx.helper.make_node("Pad", [source, name], [result], name=result)


def _drop_attribute(node: onnx.NodeProto, name: str) -> None:
    kept = [entry for entry in node.attribute if entry.name != name]
    del node.attribute[:]
    node.attribute.extend(kept)
