"""Operators of older sets in the form of a newer one, so that the rules behind this and the importer see one form.

From one version of the ONNX operator set to the next, what changes most is that attributes become inputs. The steps
follow the operators' change log (onnx/docs/Changelog.md).

`onnx.version_converter` is no replacement: `Upsample` and `Resize` of set 10 become a `Resize` that reads other pixels
(it does not say `asymmetric` and `floor`), and it works on a serialised model, weights and all, of at most 2 GiB.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import onnx

from flextune.errors import ModelError
from flextune.importing.onnx_graph import OnnxGraph, attribute, nested_graphs
from flextune.importing.simplify.constants import static_shapes

COMMON = 20
"""The set that older graphs are brought to: the first one with `Gelu`."""

OLDEST = 7
"""Broadcasting follows NumPy from here on."""

Shapes = dict[str, tuple[int, ...]]
Upgrade = Callable[[onnx.NodeProto, OnnxGraph, Shapes], list[onnx.NodeProto]]


def upgrade_operators(graph: OnnxGraph) -> None:
    """Bring a graph of an older set to `COMMON`; very old ones, and those with graphs in nodes, stay as they are.

    before: y = Squeeze(x, axes=[0]) in set 11   -->   after: y = Squeeze(x, c) in set 20, c = [0]
    """
    if all(node.domain not in ("", "ai.onnx") for node in graph.nodes):
        graph.opset = max(graph.opset, COMMON)  # nothing there is of an older set
    if not OLDEST <= graph.opset < COMMON or any(True for node in graph.nodes for _ in nested_graphs(node)):
        return
    present = {node.op_type for node in graph.nodes}
    steps = {name: upgrade for since, name, upgrade in reversed(STEPS) if graph.opset < since and name in present}
    shapes = static_shapes(graph) if SHAPED & set(steps) else {}
    nodes: list[onnx.NodeProto] = []
    for node in graph.nodes:
        upgrade = steps.get(node.op_type) if node.domain in ("", "ai.onnx") else None
        nodes.extend([node] if upgrade is None else upgrade(node, graph, shapes))
    graph.nodes = nodes
    graph.opset = COMMON


def _to_inputs(*names: str, dtype: type = np.int64) -> Upgrade:
    """Attributes become inputs, in this order, behind the inputs there are."""

    def upgrade(node: onnx.NodeProto, graph: OnnxGraph, shapes: Shapes) -> list[onnx.NodeProto]:
        del shapes
        if len(node.input) > 1:  # the newer form already
            return [node]
        values = {entry.name: onnx.helper.get_attribute_value(entry) for entry in node.attribute}
        inputs = [
            _constant(graph, node, name, np.array(values[name], dtype)) if name in values else "" for name in names
        ]
        while inputs and not inputs[-1]:
            inputs.pop()
        return [_changed(node, [*node.input, *inputs], drop=names)]

    return upgrade


def _without(*names: str) -> Upgrade:
    """Attributes that do not matter at inference are left out."""

    def upgrade(node: onnx.NodeProto, graph: OnnxGraph, shapes: Shapes) -> list[onnx.NodeProto]:
        del graph, shapes
        return [_changed(node, node.input, drop=names)]

    return upgrade


def _slice(node: onnx.NodeProto, graph: OnnxGraph, shapes: Shapes) -> list[onnx.NodeProto]:
    return _to_inputs("starts", "ends", "axes")(node, graph, shapes)


def _pad(node: onnx.NodeProto, graph: OnnxGraph, shapes: Shapes) -> list[onnx.NodeProto]:
    del shapes
    pads = _constant(graph, node, "pads", np.array(attribute(node, "pads", (0,)), np.int64))
    value = _constant(graph, node, "value", np.array(attribute(node, "value", 0.0), np.float32))
    return [_changed(node, [node.input[0], pads, value], drop=("pads", "value"))]


def _top_k(node: onnx.NodeProto, graph: OnnxGraph, shapes: Shapes) -> list[onnx.NodeProto]:
    del shapes
    if len(node.input) > 1:
        return [node]
    count = _constant(graph, node, "k", np.array([attribute(node, "k", 1)], np.int64))
    return [_changed(node, [node.input[0], count], drop=("k",))]


def _upsample(node: onnx.NodeProto, graph: OnnxGraph, shapes: Shapes) -> list[onnx.NodeProto]:
    """`Upsample`, and `Resize` as of set 10, are `Resize` with asymmetric coordinates, rounded down."""
    del shapes
    if len(node.input) > 2:
        return [node]
    scales = node.input[1] if len(node.input) > 1 else ""
    if not scales:
        entry = next(entry for entry in node.attribute if entry.name == "scales")
        scales = _constant(graph, node, "scales", np.array(entry.floats, np.float32))
    changed = _changed(node, [node.input[0], "", scales], drop=("scales",))
    changed.op_type = "Resize"
    changed.attribute.extend(
        [
            onnx.helper.make_attribute("coordinate_transformation_mode", "asymmetric"),
            onnx.helper.make_attribute("nearest_mode", "floor"),
        ]
    )
    return [changed]


def _flattened(node: onnx.NodeProto, graph: OnnxGraph, shapes: Shapes) -> list[onnx.NodeProto]:
    """Softmax and its kin, which used to run over all axes from `axis` (default 1) on together."""
    shape = shapes.get(node.input[0])
    axis = attribute(node, "axis", 1)
    if shape is None and axis != -1:
        raise ModelError(f"{node.op_type} {node.name or node.output[0]}: the shape of its input is not known")
    if shape is None:
        return [_with_axis(node, axis)]
    axis %= max(len(shape), 1)
    wide = [place for place in range(axis, len(shape)) if shape[place] != 1]
    if len(wide) <= 1:
        return [_with_axis(node, wide[0] if wide else axis)]
    source, result = node.input[0], node.output[0]
    flat, inner = graph.fresh_name(f"{result}_flat"), graph.fresh_name(f"{result}_normal")
    rows = _constant(graph, node, "rows", np.array([math.prod(shape[:axis]), math.prod(shape[axis:])], np.int64))
    back = _constant(graph, node, "shape", np.array(shape, np.int64))
    return [
        onnx.helper.make_node("Reshape", [source, rows], [flat]),
        onnx.helper.make_node(node.op_type, [flat], [inner], name=node.name, axis=1),
        onnx.helper.make_node("Reshape", [inner, back], [result]),
    ]


def _split(node: onnx.NodeProto, graph: OnnxGraph, shapes: Shapes) -> list[onnx.NodeProto]:
    (changed,) = _to_inputs("split")(node, graph, shapes)
    if len(changed.input) < 2:
        changed.attribute.append(onnx.helper.make_attribute("num_outputs", len(node.output)))
    return [changed]


def _roi_align(node: onnx.NodeProto, graph: OnnxGraph, shapes: Shapes) -> list[onnx.NodeProto]:
    del graph, shapes
    changed = _changed(node, node.input)
    changed.attribute.append(onnx.helper.make_attribute("coordinate_transformation_mode", "output_half_pixel"))
    return [changed]


def _grid_sample(node: onnx.NodeProto, graph: OnnxGraph, shapes: Shapes) -> list[onnx.NodeProto]:
    del graph, shapes
    mode = attribute(node, "mode", "bilinear")
    changed = _changed(node, node.input, drop=("mode",))
    renamed = {"bilinear": "linear", "bicubic": "cubic"}.get(mode, mode)
    changed.attribute.append(onnx.helper.make_attribute("mode", renamed))
    return [changed]


def _dft(node: onnx.NodeProto, graph: OnnxGraph, shapes: Shapes) -> list[onnx.NodeProto]:
    """The axis, whose default is another one since."""
    del shapes
    axis = _constant(graph, node, "axis", np.array(attribute(node, "axis", 1), np.int64))
    length = node.input[1] if len(node.input) > 1 else ""
    return [_changed(node, [node.input[0], length, axis], drop=("axis",))]


def _scatter(node: onnx.NodeProto, graph: OnnxGraph, shapes: Shapes) -> list[onnx.NodeProto]:
    del graph, shapes
    changed = _changed(node, node.input)
    changed.op_type = "ScatterElements"
    return [changed]


REDUCTIONS = ("L1", "L2", "LogSum", "LogSumExp", "Max", "Mean", "Min", "Prod", "SumSquare")

STEPS: tuple[tuple[int, str, Upgrade], ...] = (
    (9, "BatchNormalization", _without("spatial")),
    (10, "Slice", _slice),
    (10, "TopK", _top_k),
    (10, "Upsample", _upsample),
    (11, "Resize", _upsample),
    (11, "Clip", _to_inputs("min", "max", dtype=np.float32)),
    (11, "Pad", _pad),
    (11, "Scatter", _scatter),
    (12, "Dropout", _without("ratio")),
    *((13, name, _flattened) for name in ("Softmax", "LogSoftmax", "Hardmax")),
    *((13, name, _to_inputs("axes")) for name in ("Squeeze", "Unsqueeze", "ReduceSum")),
    (16, "RoiAlign", _roi_align),
    (18, "Split", _split),
    *((18, f"Reduce{name}", _to_inputs("axes")) for name in REDUCTIONS),
    (20, "DFT", _dft),
    (20, "GridSample", _grid_sample),
)
"""Set that an operator changed in, operator, and how a node of an older set is written in it."""

SHAPED = frozenset({"Softmax", "LogSoftmax", "Hardmax"})
"""Operators whose older form means something else depending on the shape."""


def _with_axis(node: onnx.NodeProto, axis: int) -> onnx.NodeProto:
    changed = _changed(node, node.input, drop=("axis",))
    changed.attribute.append(onnx.helper.make_attribute("axis", axis))
    return changed


def _constant(graph: OnnxGraph, node: onnx.NodeProto, role: str, value: np.ndarray) -> str:
    name = graph.fresh_name(f"{node.output[0]}_{role}")
    graph.constants[name] = value
    return name


def _changed(node: onnx.NodeProto, inputs: Sequence[str], drop: Sequence[str] = ()) -> onnx.NodeProto:
    """A copy with other inputs and without some attributes."""
    copied = onnx.NodeProto()
    copied.CopyFrom(node)
    del copied.input[:], copied.attribute[:]
    copied.input.extend(inputs)
    copied.attribute.extend(entry for entry in node.attribute if entry.name not in drop)
    return copied
