"""Elements that ONNX Runtime keeps otherwise than NumPy does: several in a byte, or of types that NumPy lacks."""

from __future__ import annotations

import ctypes
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper

ELEMENTS: Mapping[str, int] = {
    str(np.dtype(onnx.helper.tensor_dtype_to_np_dtype(kind))): kind
    for kind in onnx.TensorProto.DataType.values()
    if kind not in (onnx.TensorProto.UNDEFINED, onnx.TensorProto.STRING)
}
"""The `TensorProto.DataType` of a NumPy type."""

_PACKED = frozenset({"int4", "uint4", "int2", "uint2", "float4_e2m1fn"})


def is_packed(dtype: np.dtype[Any]) -> bool:
    """Whether a byte holds several elements there; NumPy gives each its own.

    >>> is_packed(np.dtype(np.int8)), is_packed(onnx.helper.tensor_dtype_to_np_dtype(onnx.TensorProto.INT4))
    (False, True)
    """
    return str(dtype) in _PACKED


def packed(array: np.ndarray) -> np.ndarray:
    """The elements as bytes that each hold several, the first in the lowest bits."""
    return np.frombuffer(numpy_helper.from_array(array).raw_data, np.uint8).copy()


def unpacked(content: np.ndarray, like: np.ndarray) -> np.ndarray:
    """Inverse of `packed`, into an array of the type and shape of `like`."""
    kind = ELEMENTS[str(like.dtype)]
    array: np.ndarray = numpy_helper.to_array(
        onnx.TensorProto(data_type=kind, dims=like.shape, raw_data=content.tobytes())
    )
    return array


def packed_empty(like: np.ndarray) -> np.ndarray:
    """Bytes for as many elements, packed."""
    return np.zeros(len(packed(np.zeros(like.shape, like.dtype))), np.uint8)


def array_of(value: Any) -> np.ndarray:
    """The array of an OrtValue that holds numbers: over its memory where NumPy has the type, else a copy."""
    dtype: np.dtype[Any] = onnx.helper.tensor_dtype_to_np_dtype(value.element_type())
    if dtype.isbuiltin == 1:
        array: np.ndarray = value.numpy()
        return array
    shape = tuple(value.shape())
    if is_packed(dtype):
        like = np.zeros(shape, dtype)
        return unpacked(_bytes_at(value.data_ptr(), len(packed_empty(like))), like)
    return _bytes_at(value.data_ptr(), math.prod(shape) * dtype.itemsize).view(dtype).reshape(shape)


def _bytes_at(address: int, nbytes: int) -> np.ndarray:
    """A copy of these bytes."""
    return np.frombuffer(ctypes.string_at(address, nbytes), np.uint8).copy()
