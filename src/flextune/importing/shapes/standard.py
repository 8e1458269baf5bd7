"""ONNX's own inference for operators without a rule: it passes names of sizes through, and computes with numbers."""

from __future__ import annotations

from collections.abc import Sequence

import onnx

from flextune.errors import UsageError
from flextune.importing.shapes.call import Call, UntrackedError
from flextune.importing.shapes.tracked import Known, Tracked, TrackedSequence
from flextune.workload.dim_expr import DimExpr


def by_standard(call: Call) -> list[Known]:
    """What ONNX says of a node's results. UntrackedError where it lacks a dimension, or the operator is not ONNX's."""
    node = call.node
    if node.domain not in ("", "ai.onnx") or not onnx.defs.has(node.op_type):
        name = f"{node.domain}::{node.op_type}" if node.domain else node.op_type
        raise UntrackedError(f"there is no shape rule for the operator {name}")
    types = {name: _type_of(known) for name, known in zip(node.input, call.inputs, strict=True) if name and known}
    try:
        schema = onnx.defs.get_schema(node.op_type, call.opset)
        found = onnx.shape_inference.infer_node_outputs(
            schema, node, types, opset_imports=[onnx.helper.make_opsetid("", call.opset)]
        )
    except (onnx.shape_inference.InferenceError, onnx.defs.SchemaError, RuntimeError, KeyError) as error:
        raise UntrackedError(f"ONNX's inference fails: {str(error)[:200]}") from None
    return [_known(call, found.get(name)) for name in node.output]


def _type_of(known: Known) -> onnx.TypeProto:
    if isinstance(known, TrackedSequence):
        return onnx.helper.make_sequence_type_proto(_type_of(known.element))
    if known.shape is None:
        return onnx.helper.make_tensor_type_proto(known.dtype, None)
    return onnx.helper.make_tensor_type_proto(known.dtype, dimensions(known.shape))


def dimensions(shape: Sequence[DimExpr]) -> list[int | str]:
    """A shape as ONNX writes it: numbers, and texts of expressions."""
    values = [size.value for size in shape]
    return [str(size) if value is None else value for size, value in zip(shape, values, strict=True)]


def _known(call: Call, kind: onnx.TypeProto | None) -> Known:
    if kind is None or not kind.HasField("tensor_type") or not kind.tensor_type.HasField("shape"):
        raise UntrackedError(f"there is no shape rule for {call.node.op_type}, and ONNX's inference gives no shape")
    sizes = []
    for axis, dim in enumerate(kind.tensor_type.shape.dim):
        try:
            sizes.append(DimExpr.of(dim.dim_value) if dim.HasField("dim_value") else DimExpr.parse(dim.dim_param))
        except UsageError:
            raise UntrackedError(
                f"there is no shape rule for {call.node.op_type}, and ONNX's inference does not find dimension {axis}"
            ) from None
    return Tracked(kind.tensor_type.elem_type, tuple(sizes))
