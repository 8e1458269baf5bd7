"""The element types of sums of products, and how NumPy multiplies them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from flextune.workload.element_type import BFLOAT16, FLOAT16, FLOAT32, INT8, INT32, TF32, UINT8, ElementType

# Products of u8 or s8 and s8 are at most 2^15: float32 sums up to 512 of them exactly.
EXACT_TERMS = 512


@dataclass(frozen=True, slots=True)
class OperandTypes:
    """What a workload's parameter `dtype` means: the types of the two operands and of the accumulated result."""

    data: ElementType
    weight: ElementType
    result: ElementType


WIDE_SUMS = "float16_float32"
"""float16 operands whose products are summed in float32, as tensor cores can: a type of products, not of elements."""

OPERAND_TYPES: Mapping[str, OperandTypes] = {
    "float32": OperandTypes(FLOAT32, FLOAT32, FLOAT32),
    "uint8": OperandTypes(UINT8, INT8, INT32),
    "int8": OperandTypes(INT8, INT8, INT32),
    "bfloat16": OperandTypes(BFLOAT16, BFLOAT16, FLOAT32),
    "float16": OperandTypes(FLOAT16, FLOAT16, FLOAT16),
    WIDE_SUMS: OperandTypes(FLOAT16, FLOAT16, FLOAT32),
    "tf32": OperandTypes(TF32, TF32, FLOAT32),
}


def as_float32(stored: np.ndarray, element: ElementType) -> np.ndarray:
    """A stored operand as float32, which has every value of the types of operands exactly."""
    return np.asarray(element.decode(stored), dtype=np.float32)


def multiply_matrices(left: np.ndarray, right: np.ndarray, *, exact: bool) -> np.ndarray:
    """`left @ right` for float32 matrices (or stacks of them) by BLAS.

    With `exact`, the operands hold values of bytes, the right ones signed, and the result is their int32 product:
    float32 sums of at most 512 such terms are exact, and the pieces are added up as integers.
    """
    if not exact:
        return np.asarray(left @ right)
    length = left.shape[-1]
    total: np.ndarray = (left[..., :EXACT_TERMS] @ right[..., :EXACT_TERMS, :]).astype(np.int32)
    for start in range(EXACT_TERMS, length, EXACT_TERMS):
        stop = start + EXACT_TERMS
        total += (left[..., start:stop] @ right[..., start:stop, :]).astype(np.int32)
    return total
