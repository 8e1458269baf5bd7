"""Element types as values: what an element is, how it is stored, and how two of them are compared.

The two differ where neither NumPy nor generated code has a type for an element: a bfloat16 number is stored as uint16.
So the type of an array in memory does not say what its elements are, and nothing here or elsewhere concludes it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from flextune.errors import UsageError
from flextune.registry import nearest


class Kind(StrEnum):
    """What an element's bits mean."""

    FLOAT = "float"
    SIGNED = "int"
    UNSIGNED = "uint"
    BOOL = "bool"


@dataclass(frozen=True, slots=True)
class ElementType:
    """One type of elements. `str` is its name, and `element_type` the inverse.

    kind, bits: what an element is, and in how many bits.
    storage: the NumPy type of arrays that hold such elements in memory.
    values: a NumPy type that has every value exactly, which `decode` gives; the storage itself for most.
    step: the largest distance of neighbouring numbers, relative to them; 0 for types without rounding.

    >>> element_type("bfloat16").storage, element_type("uint16").storage
    ('uint16', 'uint16')
    """

    name: str
    kind: Kind
    bits: int
    storage: str
    values: str
    step: float = 0.0

    def __post_init__(self) -> None:
        if (self.step > 0) != (self.kind is Kind.FLOAT) or self.bits > np.dtype(self.storage).itemsize * 8:
            raise UsageError(f"{self.name}: {self.bits} bits in {self.storage}, step {self.step} do not fit together")

    def __str__(self) -> str:
        return self.name

    @property
    def is_float(self) -> bool:
        return self.kind is Kind.FLOAT

    @property
    def is_whole(self) -> bool:
        """Whether the elements are integers: added without rounding, and fit to be positions."""
        return self.kind in (Kind.SIGNED, Kind.UNSIGNED)

    @property
    def bytes(self) -> int:
        """Of one element in memory."""
        return int(np.dtype(self.storage).itemsize)

    def decode(self, stored: np.ndarray) -> np.ndarray:
        """The numbers that an array in memory holds, exactly, as `values`; itself where it is one of them."""
        if self.kind is Kind.BOOL:
            return np.ascontiguousarray(stored).view(np.uint8)  # a byte of 2 is no truth value
        if self.unused_bits:
            return np.asarray((np.ascontiguousarray(stored).view(np.uint32) & self._used).view(np.float32))
        if self.storage == self.values:
            return stored
        return np.asarray((stored.astype(np.uint32) << np.uint32(16)).view(np.float32))

    def encode(self, numbers: np.ndarray) -> np.ndarray:
        """Numbers as they are stored, rounded to the nearest, even on a tie; NaN stays NaN."""
        if self.unused_bits:
            return self._rounded(np.ascontiguousarray(numbers, dtype=np.float32))
        if self.storage == self.values:
            return numbers.astype(self.storage, copy=False)
        bits = np.ascontiguousarray(numbers, dtype=np.float32).view(np.uint32)
        upper = bits >> np.uint32(16)
        nearest_even = (bits + (np.uint32(0x7FFF) + (upper & np.uint32(1)))) >> np.uint32(16)
        return np.asarray(np.where(np.isnan(numbers), upper | np.uint32(QUIET), nearest_even).astype(self.storage))

    @property
    def unused_bits(self) -> int:
        """How many low bits of a stored float32 are not looked at."""
        return 13 if self.name == "tf32" else 0

    @property
    def _used(self) -> np.uint32:
        return np.uint32(0xFFFFFFFF << self.unused_bits & 0xFFFFFFFF)

    def _rounded(self, numbers: np.ndarray) -> np.ndarray:
        bits = numbers.view(np.uint32)
        odd = bits >> np.uint32(self.unused_bits) & np.uint32(1)
        nearest_even = (bits + (np.uint32((1 << self.unused_bits - 1) - 1) + odd)) & self._used
        return np.asarray(np.where(np.isnan(numbers), numbers, nearest_even.view(np.float32)), dtype=np.float32)

    def random(self, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
        """Stored values that fill the type: floats in [-1, 1], integers of 8 bits over their full range.

        Wider integers stay below 2^15 so that sums do not overflow.
        """
        if self.kind is Kind.BOOL:
            return rng.integers(0, 2, shape).astype(np.bool_)
        if self.is_float:
            return self.encode(_random_floats(shape, rng))
        if self.bits <= 8:
            info = np.iinfo(self.storage)
            return rng.integers(info.min, info.max + 1, shape, dtype=self.storage)
        return rng.integers(-(2**15) if self.kind is Kind.SIGNED else 0, 2**15, shape).astype(self.storage)

    def other(self, stored: np.ndarray) -> np.ndarray:
        """Stored values that differ from these in every element by more than any tolerance."""
        if self.is_float:
            return self.encode(np.where(np.isnan(self.decode(stored)), 0, np.nan).astype(self.values))
        if self.bits == 8 and self.is_whole:  # may be off by one, as 127 is from its inverse
            return np.asarray(stored ^ np.array(0x80, np.uint8).view(self.storage))
        return np.asarray(np.invert(stored))


QUIET = 0x40
"""The bit that makes a bfloat16 NaN quiet."""


def _random_floats(shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    values = rng.random(shape, dtype=np.float32)
    values *= 2
    values -= 1
    return values


def _float(bits: int) -> ElementType:
    name = f"float{bits}"
    return ElementType(name, Kind.FLOAT, bits, name, name, float(np.finfo(name).eps))


def _whole(kind: Kind, bits: int) -> ElementType:
    name = f"{kind}{bits}"
    return ElementType(name, kind, bits, name, name)


FLOAT32, FLOAT16 = _float(32), _float(16)
BFLOAT16 = ElementType("bfloat16", Kind.FLOAT, 16, "uint16", "float32", 2.0**-7)
TF32 = ElementType("tf32", Kind.FLOAT, 19, "float32", "float32", 2.0**-10)
"""float32 of which operands of tensor cores have the sign, the exponent and 10 bits: what is below them is not read."""
UINT8 = _whole(Kind.UNSIGNED, 8)
INT8 = _whole(Kind.SIGNED, 8)
INT32 = _whole(Kind.SIGNED, 32)
BOOL = ElementType("bool", Kind.BOOL, 8, "bool", "bool")

ELEMENT_TYPES: Mapping[str, ElementType] = {
    each.name: each
    for each in (
        FLOAT32, _float(64), FLOAT16, BFLOAT16, TF32, BOOL, UINT8, INT8, INT32,
        *(_whole(Kind.SIGNED, bits) for bits in (16, 64)),
        *(_whole(Kind.UNSIGNED, bits) for bits in (16, 32, 64)),
    )
}  # fmt: skip


def element_type(name: str) -> ElementType:
    """The type of that name; raises `UsageError` with the nearest for any other.

    An array of TVM or NumPy names what is stored, which is the element's type for all but those kept in another.
    """
    if name not in ELEMENT_TYPES:
        raise UsageError(f"unknown element type {name!r}: {nearest(name, tuple(ELEMENT_TYPES))}")
    return ELEMENT_TYPES[name]
