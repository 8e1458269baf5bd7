"""Element types of workloads: what is stored, and how NumPy multiplies and draws it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

# Products of u8 and s8 are below 2^15: float32 sums up to 512 of them exactly.
EXACT_TERMS = 512


@dataclass(frozen=True, slots=True)
class ElementType:
    """A workload's dtype: storage types of the two operands and of the accumulated result."""

    name: str
    data: str
    weight: str
    result: str


ELEMENT_TYPES = {
    "float32": ElementType("float32", "float32", "float32", "float32"),
    "uint8": ElementType("uint8", "uint8", "int8", "int32"),
    "bfloat16": ElementType("bfloat16", "uint16", "uint16", "float32"),
}


def bfloat16_to_float32(stored: np.ndarray) -> np.ndarray:
    """Widens bfloat16 kept as uint16; exact."""
    return np.asarray((stored.astype(np.uint32) << 16).view(np.float32))


def float32_to_bfloat16(values: np.ndarray) -> np.ndarray:
    """Rounds finite numbers to nearest even bfloat16, kept as uint16."""
    bits = np.ascontiguousarray(values, dtype=np.float32).view(np.uint32)
    return np.asarray(((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16))


def widen(array: np.ndarray) -> np.ndarray:
    """A stored operand as float32, which holds every value of every element type exactly."""
    return bfloat16_to_float32(array) if array.dtype == np.uint16 else np.asarray(array, dtype=np.float32)


def multiply_matrices(left: np.ndarray, right: np.ndarray, *, exact: bool) -> np.ndarray:
    """`left @ right` for float32 matrices (or stacks of them) by BLAS.

    With `exact`, the operands hold u8 and s8 values and the result is their int32 product: float32 sums of at most
    512 such terms are exact, and the pieces are added up as integers.
    """
    if not exact:
        return np.asarray(left @ right)
    length = left.shape[-1]
    total: np.ndarray = (left[..., :EXACT_TERMS] @ right[..., :EXACT_TERMS, :]).astype(np.int32)
    for start in range(EXACT_TERMS, length, EXACT_TERMS):
        stop = start + EXACT_TERMS
        total += (left[..., start:stop] @ right[..., start:stop, :]).astype(np.int32)
    return total


def random_array(shape: tuple[int, ...], dtype: str, rng: np.random.Generator) -> np.ndarray:
    """Random values that fill the type: floats in [-1, 1], small integers over their full range.

    uint16 holds bfloat16 numbers in [-1, 1]; int32 and wider stay below 2^15 so that sums do not overflow.
    """
    if dtype == "bool":
        return rng.integers(0, 2, shape).astype(np.bool_)
    if dtype in ("int8", "uint8"):
        info = np.iinfo(dtype)
        return rng.integers(info.min, info.max + 1, shape, dtype=dtype)
    if dtype == "uint16":
        return float32_to_bfloat16(random_array(shape, "float32", rng))
    if np.dtype(dtype).kind in "iu":
        return rng.integers(0 if np.dtype(dtype).kind == "u" else -(2**15), 2**15, shape).astype(dtype)
    values = rng.random(shape, dtype=np.float32)
    values *= 2
    values -= 1
    return values.astype(dtype, copy=False)
