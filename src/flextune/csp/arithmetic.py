"""Exact integer arithmetic on columns: int64 where the result fits, Python integers (dtype object) where it may not.

Nothing here ever wraps around: bounds are computed first, with Python integers.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from flextune.csp.domain import INT64_MAX, INT64_MIN

Numbers = npt.NDArray[np.int64]
"""An integer array; dtype is int64, or object (Python integers) where 64 bits may not be enough."""

_SAFE = 2**62


def magnitude(values: Numbers) -> int:
    """The largest absolute value, as a Python integer (0 for an empty array)."""
    return max(abs(int(values.max())), abs(int(values.min()))) if values.size else 0


def narrowed(values: Numbers) -> Numbers:
    """The same numbers as int64 when all of them fit, else unchanged."""
    if values.dtype != object or not values.size:
        return values.astype(np.int64) if values.dtype == object else values
    fits = int(values.max()) <= INT64_MAX and int(values.min()) >= INT64_MIN
    return values.astype(np.int64) if fits else values


def times(left: Numbers, right: Numbers) -> Numbers:
    """left * right, broadcast, exact."""
    if magnitude(left) * magnitude(right) < _SAFE:
        return np.asarray(left * right)
    return narrowed(np.asarray(left.astype(object) * right.astype(object)))


def plus(left: Numbers, right: Numbers) -> Numbers:
    """left + right, broadcast, exact."""
    if magnitude(left) + magnitude(right) < _SAFE:
        return np.asarray(left + right)
    return narrowed(np.asarray(left.astype(object) + right.astype(object)))


def product(columns: Sequence[Numbers]) -> Numbers:
    """The exact product of the columns; 1 for none."""
    result = np.ones((), dtype=np.int64)
    for column in columns:
        result = times(result, column)
    return result


def total(columns: Sequence[Numbers]) -> Numbers:
    """The exact sum of the columns; 0 for none."""
    result = np.zeros((), dtype=np.int64)
    for column in columns:
        result = plus(result, column)
    return result


def divides(divisor: Numbers, dividend: Numbers) -> npt.NDArray[np.bool_]:
    """dividend % divisor == 0; false where the divisor is zero, signs do not matter."""
    zero = divisor == 0
    return np.asarray(np.where(zero, False, dividend % np.where(zero, 1, divisor) == 0), dtype=bool)


def chosen(index: Numbers, options: Sequence[Numbers]) -> tuple[Numbers, npt.NDArray[np.bool_]]:
    """options[index] by element, and where the index is within range (elsewhere the value means nothing)."""
    valid = np.asarray((index >= 0) & (index < len(options)), dtype=bool)
    where = np.where(valid, index, 0).astype(np.int64)
    shape = np.broadcast_shapes(where.shape, *(option.shape for option in options))
    result = np.zeros(shape, dtype=object if any(o.dtype == object for o in options) else np.int64)
    for position, option in enumerate(options):
        np.copyto(result, option, where=np.broadcast_to(where == position, shape))
    return result, np.broadcast_to(valid, shape)


def looked_up(index: Numbers, constants: Sequence[int]) -> tuple[Numbers, npt.NDArray[np.bool_]]:
    """`chosen` where all options are constants (64-bit integers): quick, however many they are."""
    valid = np.asarray((index >= 0) & (index < len(constants)), dtype=bool)
    return np.array(constants, dtype=np.int64)[np.where(valid, index, 0).astype(np.int64)], valid
