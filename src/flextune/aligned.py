"""Arrays at addresses that vectors are loaded from, and that TVM takes without a copy."""

from __future__ import annotations

import ctypes
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

ALIGNMENT_BYTES = 64
"""A cache line of all processors here, and a vector of the widest."""


def aligned_empty(
    shape: Sequence[int], dtype: npt.DTypeLike, alignment: int = ALIGNMENT_BYTES, *, zeros: bool = False
) -> npt.NDArray[Any]:
    """An uninitialised contiguous array (of zeros if asked) that starts at a multiple of `alignment` bytes."""
    kind: np.dtype[Any] = np.dtype(dtype)
    count = math.prod(shape)
    nbytes = max(count, 1) * kind.itemsize  # NumPy moves the beginning of a slice without elements
    block = (np.zeros if zeros else np.empty)(nbytes + alignment, np.uint8)
    begin = -address(block) % alignment
    return np.ndarray(tuple(shape), kind, block, begin)


def aligned_copy(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """A writable, contiguous copy that starts at a multiple of `ALIGNMENT_BYTES`."""
    copy = aligned_empty(array.shape, array.dtype)
    np.copyto(copy, array)
    return copy


def is_aligned(array: npt.NDArray[Any]) -> bool:
    return address(array) % ALIGNMENT_BYTES == 0


def address(array: npt.NDArray[Any]) -> int:
    """Where the array's memory begins (`array.ctypes.data` is the same, many times as slow)."""
    try:
        return ctypes.addressof(ctypes.c_char.from_buffer(array))  # type: ignore[arg-type]
    except (TypeError, ValueError, BufferError):  # read-only, empty, with gaps, or of a type that buffers lack
        return int(array.__array_interface__["data"][0])
