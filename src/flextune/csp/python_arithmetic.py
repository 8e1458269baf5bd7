"""Python's arithmetic on columns: whole numbers are exact, and a value that Python would raise for is undefined."""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from flextune.csp import arithmetic
from flextune.csp.domain import INT64_MAX

Truth = npt.NDArray[np.bool_]
Array = npt.NDArray[Any]
Result = tuple[Array, Truth]
"""Values, and where they are defined."""

_EXACT_FLOAT = 2**53


@dataclass(frozen=True, slots=True)
class Values:
    """An array of values, and where they are defined. Arrays broadcast; `kind` is that of `Parameter.kind`."""

    array: Array
    defined: Truth
    kind: str = "number"

    @property
    def truth(self) -> Truth:
        """What Python's `bool` says."""
        if self.kind == "number":
            return np.asarray(self.array != 0, dtype=bool)
        return np.vectorize(bool, otypes=[bool])(self.array)  # type: ignore[no-any-return]


def compared(compare: Callable[[Any, Any], Any], left: Values, right: Values) -> Truth:
    """By element. Numbers and texts are never equal; large whole numbers meet fractions exactly."""
    a, b = left.array, right.array
    texts = left.kind != "number" or right.kind != "number"
    if texts or (a.dtype.kind != b.dtype.kind and max(_size(a), _size(b)) > _EXACT_FLOAT):
        a, b = a.astype(object), b.astype(object)
    return np.asarray(compare(a, b), dtype=bool)


def _size(array: Array) -> int:
    return 0 if array.dtype.kind == "f" else arithmetic.magnitude(array)


def wide(array: Array) -> Array:
    """Whole numbers whose absolute values fit their type."""
    return array.astype(object) if arithmetic.magnitude(array) >= INT64_MAX else array


def _whole(*arrays: Array) -> bool:
    return all(array.dtype.kind != "f" for array in arrays)


def _float(array: Array) -> Array:
    return array.astype(np.float64)


_EVERYWHERE = np.ones((), dtype=bool)


def times(a: Array, b: Array) -> Array:
    if _whole(a, b):
        return arithmetic.times(a, b)
    with np.errstate(all="ignore"):
        return np.asarray(_float(a) * _float(b))


def _plus(a: Array, b: Array) -> Array:
    if _whole(a, b):
        return arithmetic.plus(a, b)
    with np.errstate(all="ignore"):
        return np.asarray(_float(a) + _float(b))


def _divided(a: Array, b: Array) -> Result:
    nonzero = np.asarray(b != 0, dtype=bool)
    safe = np.where(nonzero, b, 1)
    exact = _whole(a, b) and max(_size(a), _size(b)) > _EXACT_FLOAT
    with np.errstate(all="ignore"):
        array = a.astype(object) / safe.astype(object) if exact else _float(a) / _float(safe)
    return np.asarray(array, dtype=np.float64), nonzero


def _floor_divided(a: Array, b: Array) -> Result:
    return _floored(np.floor_divide, a, b)


def _remainder(a: Array, b: Array) -> Result:
    return _floored(np.remainder, a, b)


def _floored(function: Callable[[Any, Any], Any], a: Array, b: Array) -> Result:
    nonzero = np.asarray(b != 0, dtype=bool)
    safe = np.where(nonzero, b, 1)
    if _whole(a, b) and max(_size(a), _size(safe)) >= INT64_MAX:
        a, safe = a.astype(object), safe.astype(object)
    with np.errstate(all="ignore"):
        return np.asarray(function(a, safe)), nonzero


def power_bits(a: Array, b: Array) -> int:
    """The most bits that a power of whole numbers may need; 0 for a fraction."""
    if not _whole(a, b) or (b.size and int(b.min()) < 0) or arithmetic.magnitude(a) <= 1:
        return 0
    return arithmetic.magnitude(a).bit_length() * arithmetic.magnitude(b)


def _power(a: Array, b: Array) -> Result:
    if _whole(a, b) and (not b.size or int(b.min()) >= 0):
        if power_bits(a, b) < 62:
            return np.asarray(np.power(a, b)), _EVERYWHERE
        return arithmetic.narrowed(np.asarray(a.astype(object) ** b.astype(object))), _EVERYWHERE
    with np.errstate(all="ignore"):
        array = np.asarray(np.power(_float(a), _float(b)))
    return array, np.isfinite(array)


_MOST_SHIFTED = 2_000
"""To the right: nothing is left of larger numbers than there are."""


def _bitwise(function: Callable[[Any, Any], Any]) -> Callable[[Array, Array], Result]:
    """Of whole numbers; Python has none of fractions."""

    def operation(a: Array, b: Array) -> Result:
        if not _whole(a, b):
            return np.zeros(np.broadcast_shapes(a.shape, b.shape), dtype=np.int64), ~_EVERYWHERE
        if object in (a.dtype, b.dtype):
            a, b = a.astype(object), b.astype(object)
        return arithmetic.narrowed(np.asarray(function(a, b))), _EVERYWHERE

    return operation


def _shifted(a: Array, b: Array, *, left: bool) -> Result:
    """Python's shifts: to the left is times a power of two, to the right divided by one, by less than 0 is an error."""
    if not _whole(a, b):
        return np.zeros(np.broadcast_shapes(a.shape, b.shape), dtype=np.int64), ~_EVERYWHERE
    defined = np.asarray(b >= 0, dtype=bool)
    places = np.where(defined, b if left else np.minimum(b, _MOST_SHIFTED), 0)
    powers, _ = _power(np.array(2), places)
    result = arithmetic.times(a, powers) if left else _floor_divided(a, powers)[0]
    return np.asarray(result), defined


OPERATIONS: Mapping[type[ast.operator], Callable[[Array, Array], Result]] = {
    ast.Add: lambda a, b: (_plus(a, b), _EVERYWHERE),
    ast.Sub: lambda a, b: (_plus(a, times(b, np.array(-1))), _EVERYWHERE),
    ast.Mult: lambda a, b: (times(a, b), _EVERYWHERE),
    ast.Div: _divided,
    ast.FloorDiv: _floor_divided,
    ast.Mod: _remainder,
    ast.Pow: _power,
    ast.BitAnd: _bitwise(np.bitwise_and),
    ast.BitOr: _bitwise(np.bitwise_or),
    ast.BitXor: _bitwise(np.bitwise_xor),
    ast.LShift: lambda a, b: _shifted(a, b, left=True),
    ast.RShift: lambda a, b: _shifted(a, b, left=False),
}
