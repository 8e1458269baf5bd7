"""A model with ranges of sizes as TVM's importer takes it: without shape arithmetic, and right at all sizes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx
from onnx import numpy_helper

from flextune.errors import ModelError
from flextune.importing.model import Model
from flextune.importing.onnx_graph import attribute, opset_version
from flextune.importing.shapes.table import Demand, Problem, ShapeTable
from flextune.importing.shapes.tracker import track_shapes
from flextune.importing.sized.fitting import FITTED
from flextune.importing.sized.rewriting import with_sized_operators

_END = 2**63 - 1
_AXES_AS_INPUTS = 13
"""From this operator set on."""


def with_plain_sizes(model: Model) -> onnx.ModelProto:
    """The model with what is computed from shapes as constants, targets of `Reshape` with 0 and -1, and expressions.

    Its `value_info` has the types of results that ONNX does not know (`flextune.importing.sized.nodes`). ModelError
    where it is right only if two sizes happen to be equal, and nothing would check that when it runs.
    """
    table = track_shapes(model.proto, {dim.name: dim for dim in model.dims})
    _refuse_unknown(model.name, table.problems)
    _refuse_unchecked(model.name, table.demands)
    return _slicing_at_constants(with_sized_operators(model.proto, table), table)


def _refuse_unknown(name: str, problems: Sequence[Problem]) -> None:
    if problems:
        listed = "\n".join(f"  {each}" for each in problems[:20])
        raise ModelError(f"model {name!r} cannot be compiled for ranges of sizes, as shapes are not known:\n{listed}")


def _refuse_unchecked(name: str, demands: Sequence[Demand]) -> None:
    equal = [each for each in demands if each.right is not None and each.about.split()[0] not in FITTED]
    if equal:
        listed = "\n".join(f"  {each.left} and {each.right} ({each.about})" for each in equal[:20])
        raise ModelError(
            f"model {name!r} cannot be compiled for ranges of sizes: these must be the same size\n{listed}\n"
            "give such sizes with --shape, or one name to both in the model"
        )


def _slicing_at_constants(proto: onnx.ModelProto, table: ShapeTable) -> onnx.ModelProto:
    """A copy that slices what is gathered at one constant place: the importer would compute that with the shape.

    before: y = Gather(x[batch, seq, 8], -1, axis=1)   -->   after: y = ReduceSum(Slice(x, -1, end, axis 1), axis 1)

    (The importer squeezes no axis that a slice of an axis of any size has left with one element.)
    """
    if opset_version(proto) < _AXES_AS_INPUTS:
        return proto
    changed = onnx.ModelProto()
    changed.CopyFrom(proto)
    constants = {each.name for each in proto.graph.initializer}
    nodes: list[onnx.NodeProto] = []
    for node in changed.graph.node:
        index = _one_place(node.input[1], table) if node.op_type == "Gather" else None
        shape = table.shape(node.input[0]) if index is not None and node.input[0] not in constants else None
        if index is None or shape is None:
            nodes.append(node)
            continue
        axis = attribute(node, "axis", 0) % len(shape)
        if shape[axis].bounds(table.dims)[0] < (index + 1 if index >= 0 else -index):
            raise ModelError(
                f"model {proto.graph.name!r}: {node.op_type} {node.name or node.output[0]} reads element {index} of an "
                f"axis of {shape[axis]}, which may have fewer: raise the lower end of its range"
            )
        nodes += _sliced(node, axis, index, table.shape(node.input[1]) == (), changed.graph)
    del changed.graph.node[:]
    changed.graph.node.extend(nodes)
    return changed


def _one_place(name: str, table: ShapeTable) -> int | None:
    """The only element of a constant scalar or vector."""
    elements = table.elements(name) or ()
    return elements[0].value if len(elements) == 1 and len(table.shape(name) or ()) < 2 else None


def _sliced(
    node: onnx.NodeProto, axis: int, index: int, without_axis: bool, graph: onnx.GraphProto
) -> list[onnx.NodeProto]:
    result = node.output[0]
    bounds = (("from", index), ("to", _END if index == -1 else index + 1), ("axis", axis))
    names = [f"{result}_{role}" for role, _ in bounds]
    graph.initializer.extend(
        numpy_helper.from_array(np.array([value], np.int64), name)
        for name, (_, value) in zip(names, bounds, strict=True)
    )
    part = f"{result}_part" if without_axis else result
    nodes = [onnx.helper.make_node("Slice", [node.input[0], *names], [part], name=node.name)]
    if without_axis:
        nodes.append(onnx.helper.make_node("ReduceSum", [part, names[-1]], [result], keepdims=0))
    return nodes
