"""Tensors as arrays over the same memory, and arrays as tensors, also of types that NumPy does not know."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np


def array_of(torch: Any, tensor: Any) -> np.ndarray:
    """The tensor's elements as an array; over its memory where it is contiguous."""
    dense = tensor.detach().contiguous()
    if dense.dtype is torch.bfloat16:
        stored: np.ndarray = dense.view(torch.int16).numpy()
        return stored.view(ml_dtypes.bfloat16)
    array: np.ndarray = dense.numpy()
    return array


def tensor_of(torch: Any, array: np.ndarray) -> Any:
    """The array as a tensor over its memory."""
    if array.dtype == ml_dtypes.bfloat16:
        return torch.from_numpy(array.view(np.int16)).view(torch.bfloat16)
    return torch.from_numpy(array)
