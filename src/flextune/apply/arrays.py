"""Users' arrays to what generated code reads and writes, without a copy where that is possible."""

from __future__ import annotations

import ctypes
import math
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from flextune.aligned import address, aligned_empty, is_aligned
from flextune.errors import UsageError
from flextune.importing.values import STORAGE, ValueSpec, array_type

_SMALL_BYTES = 4096
"""To copy so many is quicker than to look for an aligned place for them."""


def empty_value(spec: ValueSpec, *, staged: bool = False) -> np.ndarray:
    """An uninitialised array for a value, placed so that generated code writes it without a copy.

    A small one may lie anywhere where what is `staged` is copied there.
    """
    dtype = array_type(spec.dtype)
    if staged and math.prod(spec.shape) * dtype.itemsize <= _SMALL_BYTES:
        return np.empty(spec.shape, dtype)
    return aligned_empty(spec.shape, dtype)


def input_array(spec: ValueSpec, value: object, model: str, *, aligned: bool = True) -> Any:
    """The value as a contiguous array; itself where it is one already. UsageError for a wrong one.

    It is `aligned` where that is asked for. What is no array of numbers is left to the runtime that reads it.
    """
    if not spec.is_numeric:
        return np.asarray(value, object) if spec.dtype == "string" else value
    array = as_array(value, f"{model}: input {spec.name!r}")
    _check(spec, array, f"{model}: input")
    if array.flags.c_contiguous and (not aligned or is_aligned(array)):
        return array
    return _copy(spec, array)


def shape_of(value: object) -> tuple[int, ...]:
    """The shape of an array, a DLPack tensor, or whatever NumPy makes an array of."""
    found = getattr(value, "shape", None)
    return tuple(map(int, np.asarray(value).shape if found is None else found))


def output_array(spec: ValueSpec, value: object, model: str) -> np.ndarray:
    """The caller's memory for an output as an array over it. UsageError when the model cannot write into it."""
    if not spec.is_static:
        raise UsageError(f"{model}: output {spec} has no size that is known before; leave it out of the outputs")
    array = as_array(value, f"{model}: output {spec.name!r}")
    _check(spec, array, f"{model}: output")
    if not array.flags.c_contiguous or not array.flags.writeable:
        raise UsageError(f"{model}: output {spec.name!r} must be given as a contiguous, writable array")
    return array


def apart(inputs: Mapping[ValueSpec, Any], outputs: Sequence[Any], model: str) -> list[Any]:
    """The inputs, copied where an output would be written over them. UsageError for outputs that overlap.

    Outputs that have no memory yet are None.
    """
    written = sorted(_span(output) for output in outputs if output is not None and output.nbytes)
    if any(begin < end for (_, end), (begin, _) in pairwise(written)):
        raise UsageError(f"{model}: the memory given for outputs overlaps; give each output its own")
    return [
        _copy(spec, array) if spec.is_numeric and _meets(_span(array), written) else array
        for spec, array in inputs.items()
    ]


def _span(array: np.ndarray) -> tuple[int, int]:
    """Where a contiguous array begins and ends in memory."""
    begin = address(array)
    return begin, begin + array.nbytes


def _meets(span: tuple[int, int], others: Sequence[tuple[int, int]]) -> bool:
    """Whether a part of memory overlaps one of others, which are in order and apart from each other."""
    before = bisect_left(others, span[1], key=lambda other: other[0])
    return before > 0 and others[before - 1][1] > span[0]


def stored(array: np.ndarray) -> np.ndarray:
    """The array as generated code sees it: bfloat16 as uint16, what has fewer bits than a byte as bytes."""
    return array.view(STORAGE[array.dtype.name]) if array.dtype.name in STORAGE else array


def as_array(value: object, what: str) -> np.ndarray:
    """A NumPy array over the memory of an array or of a DLPack tensor on the CPU; anything else is copied."""
    if isinstance(value, np.ndarray) or not hasattr(value, "__dlpack__"):
        return np.asarray(value)
    try:
        return np.from_dlpack(value)
    except (RuntimeError, BufferError, TypeError, ValueError) as error:
        array = _by_tvm_ffi(value)
        if array is None:
            reason = str(error).strip().splitlines()[0]
            raise UsageError(
                f"{what}: expected an array or a tensor on the CPU without gradient, got "
                f"{type(value).__name__} ({reason}); pass tensor.detach().cpu()"
            ) from error
        return array


def _by_tvm_ffi(value: object) -> np.ndarray | None:
    """DLPack tensors of types that NumPy itself does not take, such as bfloat16; None where they are no CPU tensors."""
    import tvm_ffi  # not needed otherwise

    try:
        tensor = tvm_ffi.from_dlpack(value)
        dtype = array_type(str(tensor.dtype))
    except (RuntimeError, BufferError, TypeError, ValueError):
        return None
    if tensor.device.type != "cpu" or not tensor.is_contiguous():
        return None
    count = math.prod(tensor.shape)
    memory = (ctypes.c_uint8 * (count * dtype.itemsize)).from_address(tensor.data_ptr())
    memory.owner = tensor
    array: np.ndarray = np.ctypeslib.as_array(memory).view(dtype).reshape(tuple(tensor.shape))
    return array


def _copy(spec: ValueSpec, array: np.ndarray) -> np.ndarray:
    placed = empty_value(spec)
    np.copyto(placed, array)
    return placed


def _check(spec: ValueSpec, array: np.ndarray, what: str) -> None:
    if array.shape != spec.shape or array.dtype != array_type(spec.dtype):
        came = f"{array.dtype}[{', '.join(map(str, array.shape))}]"
        raise UsageError(f"{what} {spec} expected, got {came}")
