"""Names of sizes: what a model calls the dimensions of its inputs, as names that expressions can use."""

from __future__ import annotations

import re
from collections.abc import Iterable

import onnx

from flextune.errors import UsageError
from flextune.importing.shapes.tracked import Shape
from flextune.workload.dim import NAME
from flextune.workload.dim_expr import DimExpr


def input_shapes(inputs: Iterable[onnx.ValueInfoProto]) -> dict[str, Shape | None]:
    """The shapes of inputs: numbers, and names that are the same where the model says so.

    batch x ? of input ids -> (batch, ids_1). A name such as `past + seq` is an expression where the model has its names
    elsewhere; any other text becomes a name of letters, digits and _.
    """
    found = [value for value in inputs if value.type.HasField("tensor_type")]
    given = {dim.dim_param for value in found for dim in value.type.tensor_type.shape.dim if dim.dim_param}
    sizes = _sizes_of(given)
    return {value.name: _shape(value, sizes) for value in found}


def _sizes_of(texts: set[str]) -> dict[str, DimExpr]:
    plain = {text for text in texts if NAME.fullmatch(text)}
    sizes = {text: DimExpr.of(text) for text in plain}
    taken = set(plain)
    for text in sorted(texts - plain):
        sizes[text] = _expression(text, plain) or DimExpr.of(unused_name(text, taken))
        taken |= sizes[text].names
    return sizes


def _expression(text: str, names: set[str]) -> DimExpr | None:
    try:
        found = DimExpr.parse(text)
    except UsageError:
        return None
    return found if found.names and found.names <= names else None


def unused_name(text: str, taken: Iterable[str]) -> str:
    """A name made of any text, other than those that are taken.

    >>> unused_name("/model/Range_output_0", {"model_Range_output_0"})
    'model_Range_output_0_1'
    """
    stem = re.sub(r"[^A-Za-z0-9_]+", "_", text).strip("_") or "size"
    stem = stem if NAME.fullmatch(stem) else f"size_{stem}"
    used, number, name = frozenset(taken), 0, stem
    while name in used:
        number += 1
        name = f"{stem}_{number}"
    return name


def _shape(value: onnx.ValueInfoProto, sizes: dict[str, DimExpr]) -> Shape | None:
    tensor = value.type.tensor_type
    if not tensor.HasField("shape"):
        return None
    return tuple(_size(value.name, axis, dim, sizes) for axis, dim in enumerate(tensor.shape.dim))


def _size(name: str, axis: int, dim: onnx.TensorShapeProto.Dimension, sizes: dict[str, DimExpr]) -> DimExpr:
    if dim.HasField("dim_value") and dim.dim_value >= 0:
        return DimExpr.of(dim.dim_value)
    if dim.dim_param:
        return sizes[dim.dim_param]
    taken = {each for size in sizes.values() for each in size.names}
    return DimExpr.of(unused_name(f"{name}_{axis}", taken))
