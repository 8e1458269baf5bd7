"""What is known of a tensor or a sequence: values that rules take and give."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import reduce
from typing import Any

import numpy as np
import onnx

from flextune.importing.shapes.ratio import Ratio
from flextune.workload.dim_expr import DimExpr

Shape = tuple[DimExpr, ...]
Elements = np.ndarray[Any, np.dtype[np.object_]]
"""An array of `Ratio`, or None for an element that is not known."""

MOST_ELEMENTS = 512
"""Of a tensor whose elements are followed. Those that shapes are computed with are far smaller."""

INTEGERS = frozenset(
    getattr(onnx.TensorProto, name)
    for name in ("INT8", "INT16", "INT32", "INT64", "UINT8", "UINT16", "UINT32", "UINT64", "BOOL")
)
"""Element types of which elements are followed exactly, whatever is computed with them."""


@dataclass(frozen=True, slots=True, eq=False)
class Tracked:
    """A tensor: its element type (`onnx.TensorProto.DataType`), shape, and its elements if they are known and few."""

    dtype: int
    shape: Shape | None
    """None where not even the rank is known."""
    elements: Elements | None = None
    """Of the tensor's shape, which is static then."""

    @property
    def static(self) -> tuple[int, ...] | None:
        """The shape in numbers, if it depends on no size."""
        if self.shape is None:
            return None
        sizes = [size.value for size in self.shape]
        return None if None in sizes else tuple(size for size in sizes if size is not None)

    def with_shape(self, shape: Iterable[DimExpr] | None) -> Tracked:
        """Of the same element type, with elements that are not known."""
        return Tracked(self.dtype, None if shape is None else tuple(shape))

    def of_type(self, dtype: int) -> Tracked:
        return replace(self, dtype=dtype, elements=None)


@dataclass(frozen=True, slots=True, eq=False)
class TrackedSequence:
    """A list of tensors."""

    length: DimExpr
    element: Tracked
    """What holds for each of them."""
    items: tuple[Tracked, ...] | None = None
    """Each of them, where they are known one by one."""


Known = Tracked | TrackedSequence


def elements_of(array: np.ndarray[Any, Any]) -> Elements | None:
    """The elements of a constant, if they are few numbers."""
    if array.size > MOST_ELEMENTS or array.dtype.kind not in "iubf":
        return None
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        return None
    return of_numbers(array)


def of_numbers(array: np.ndarray[Any, Any]) -> Elements:
    """Numbers as elements."""
    found = np.empty(array.shape, object)
    for index in np.ndindex(array.shape):
        value = array[index]
        found[index] = Ratio.of(Fraction(float(value)) if array.dtype.kind == "f" else int(value))
    return found


def constant_array(elements: Elements, dtype: int) -> np.ndarray[Any, Any] | None:
    """Elements as a constant of an element type, exactly; None where one of them is no number."""
    values = [None if each is None else each.constant for each in elements.reshape(-1)]
    if None in values:
        return None
    kind = onnx.helper.tensor_dtype_to_np_dtype(dtype)
    numbers = [int(each) if kind.kind in "iub" else float(each) for each in values if each is not None]
    return np.array(numbers).astype(kind).reshape(elements.shape)


def constant_tensor(array: np.ndarray[Any, Any], dtype: int) -> Tracked:
    """What is known of a constant of the model."""
    return Tracked(dtype, tuple(map(DimExpr.of, array.shape)), elements_of(array))


def integer_tensor(sizes: Iterable[DimExpr], dtype: int = onnx.TensorProto.INT64) -> Tracked:
    """A vector of sizes."""
    found = [Ratio(size) for size in sizes]
    elements = np.empty(len(found), object)
    elements[:] = found
    return Tracked(dtype, (DimExpr.of(len(found)),), elements)


def count(shape: Iterable[DimExpr]) -> DimExpr:
    """How many elements a tensor of this shape has."""
    return reduce(DimExpr.__mul__, shape, DimExpr.of(1))


def is_small(shape: Iterable[int]) -> bool:
    return math.prod(shape) <= MOST_ELEMENTS
