"""ONNX's types as texts, and the specs of values that have them."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx

from flextune.errors import ModelError
from flextune.importing.values import UNKNOWN, ValueSpec


def element_text(kind: int) -> str:
    """The NumPy name of an element type (`TensorProto.DataType`), `string` for strings.

    >>> element_text(onnx.TensorProto.FLOAT), element_text(onnx.TensorProto.STRING)
    ('float32', 'string')
    """
    if kind == onnx.TensorProto.STRING:
        return "string"
    try:
        dtype: np.dtype[Any] = onnx.helper.tensor_dtype_to_np_dtype(kind)
    except KeyError:
        raise ModelError(
            f"the model is damaged: it has values of element type {kind}, which ONNX does not know"
        ) from None
    return dtype.name


def type_text(kind: onnx.TypeProto) -> str:
    """A type without sizes: `tensor(float32)`, `sequence(string)`, `optional(sequence(float32))`."""
    which = kind.WhichOneof("value")
    if which == "tensor_type":
        return f"tensor({element_text(kind.tensor_type.elem_type)})"
    if which == "sequence_type":
        return f"sequence({_inner(kind.sequence_type.elem_type)})"
    if which == "optional_type":
        return f"optional({_inner(kind.optional_type.elem_type)})"
    if which == "map_type":
        return f"map({element_text(kind.map_type.key_type)}, {_inner(kind.map_type.value_type)})"
    return f"{(which or 'unknown').removesuffix('_type')}()"


def spec_of(name: str, kind: onnx.TypeProto) -> ValueSpec:
    """The spec of a value of this type; see `ValueSpec` for what is no array of a known size."""
    if kind.WhichOneof("value") != "tensor_type" or not kind.tensor_type.HasField("shape"):
        return ValueSpec(name, (), type_text(kind))
    sizes = (dim.dim_value if dim.HasField("dim_value") else UNKNOWN for dim in kind.tensor_type.shape.dim)
    return ValueSpec(name, tuple(sizes), element_text(kind.tensor_type.elem_type))


def _inner(kind: onnx.TypeProto) -> str:
    return element_text(kind.tensor_type.elem_type) if kind.HasField("tensor_type") else type_text(kind)
