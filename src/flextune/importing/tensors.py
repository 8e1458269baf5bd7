"""Tensors that a file holds, as arrays."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper

from flextune.errors import ModelError


def tensor_array(tensor: onnx.TensorProto) -> np.ndarray[Any, Any]:
    """The array. `ModelError` where the data are not of the size and type that the tensor says."""
    try:
        array: np.ndarray[Any, Any] = numpy_helper.to_array(tensor)
    except (ValueError, TypeError, KeyError, MemoryError, OverflowError) as error:
        raise ModelError(f"tensor {tensor.name[:120]!r} is damaged: {error}") from None
    return array
