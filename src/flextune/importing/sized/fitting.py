"""Operands whose sizes are the same in every valid run though their expressions differ, as views of the same sizes.

before: y = Add(x[2*((h + 1)//2)], z[h])   -->   after: y = Add(ReshapeTo(x, sizes=[h]), z)

A run in which they are not the same is refused: a view has as many bytes as what it is a view of.
"""

from __future__ import annotations

import onnx

from flextune.importing.onnx_graph import attribute
from flextune.importing.shapes.tracked import Shape
from flextune.importing.sized.writer import SizedWriter
from flextune.workload.dim_expr import DimExpr

_ONE = DimExpr.of(1)
_BROADCASTING = """
Add And Div Equal Expand Greater GreaterOrEqual Less LessOrEqual Max Mean Min Mod Mul Or PRelu Pow Sub Sum Where Xor
"""
BROADCASTING = frozenset(_BROADCASTING.split())
FITTED = BROADCASTING | {"Concat", "MatMul", "Gemm"}
"""Operators whose operands are made to fit."""


def fit_operands(node: onnx.NodeProto, writer: SizedWriter) -> onnx.NodeProto:
    """The node with operands of sizes that are written alike; the nodes that make them so are written."""
    if node.op_type not in FITTED or node.domain not in ("", "ai.onnx"):
        return node
    shapes = [writer.table.shape(name) for name in node.input]
    result = writer.table.shape(node.output[0])
    if result is None or None in shapes:
        return node
    wanted = _fitting(node, [shape for shape in shapes if shape is not None], result)
    changed = {
        position: shape
        for position, (shape, given) in enumerate(zip(wanted, shapes, strict=True))
        if shape is not None and shape != given
    }
    if not changed:
        return node
    fitted = onnx.NodeProto.FromString(node.SerializeToString())
    for position, shape in changed.items():
        name = node.input[position]
        fitted.input[position] = writer.reshaped(name, shape, writer.dtype(name))
    return fitted


def _fitting(node: onnx.NodeProto, shapes: list[Shape], result: Shape) -> list[Shape | None]:
    if node.op_type in BROADCASTING:
        count = 1 if node.op_type == "Expand" else len(shapes)
        return [*(_stretched(shape, result) for shape in shapes[:count]), *([None] * (len(shapes) - count))]
    if node.op_type == "Concat":
        axis = attribute(node, "axis", 0) % len(result)
        return [_except(shape, result, axis) for shape in shapes]
    if node.op_type == "MatMul" and min(map(len, shapes)) > 1:
        left, right = shapes
        inner = left[-1] if right[-2].value is None else right[-2]
        return [
            (*_stretched(left[:-2], result[:-2]), left[-2], inner),
            (*_stretched(right[:-2], result[:-2]), inner, right[-1]),
        ]
    return [None] * len(shapes)


def _stretched(shape: Shape, result: Shape) -> Shape:
    """The sizes of the result but for those that are 1."""
    aligned = result[len(result) - len(shape) :]
    return tuple(size if size == _ONE else wanted for size, wanted in zip(shape, aligned, strict=True))


def _except(shape: Shape, result: Shape, axis: int) -> Shape:
    return tuple(
        size if place == axis else wanted for place, (size, wanted) in enumerate(zip(shape, result, strict=True))
    )
