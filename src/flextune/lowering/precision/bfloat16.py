"""bfloat16 kept as uint16: TIR expressions and arrays to and from float32."""

from __future__ import annotations

import numpy as np
from tvm import tirx
from tvm.ir import TensorLoad

from flextune.analysis.bfloat16_expressions import narrowed
from flextune.analysis.element import is_call
from flextune.tvm_types import Expression
from flextune.workload.element_type import BFLOAT16
from flextune.workload.rounding import STORAGE, bfloat16_of
from flextune.workload.tensor_builder import TensorBuilder


def widened(stored: Expression) -> Expression:
    """The float32 value of a stored element, in the form that tensor intrinsics know."""
    return TensorBuilder("bfloat16").widened(stored)


def rounded(value: Expression) -> Expression:
    """A float32 expression as a stored element.

    What only moves stored elements moves them as they are:
    before: rounded(if_then_else(c, widened(x), 0.0))   -->   after: if_then_else(c, x, 0)
    """
    moved = _moved(value)
    return bfloat16_of(value) if moved is None else moved


def _moved(value: Expression) -> Expression | None:
    """The stored form of an expression that selects among stored elements and constants; None if it computes."""
    if isinstance(value, tirx.FloatImm):
        bits = int(to_bfloat16(np.array([value.value], np.float32))[0])
        return tirx.const(bits, STORAGE)
    stored = _stored(value)
    if stored is not None:
        return stored
    if is_call(value, "if_then_else"):
        parts = [part for part in map(_moved, value.args[1:]) if part is not None]
        return tirx.if_then_else(value.args[0], *parts) if len(parts) == 2 else None
    if isinstance(value, tirx.Select):
        parts = [part for part in map(_moved, (value.true_value, value.false_value)) if part is not None]
        return tirx.Select(value.condition, *parts) if len(parts) == 2 else None
    return None


def _stored(value: Expression) -> Expression | None:
    """x where `value` is `widened(x)` of one element."""
    element = narrowed(value)
    return element if isinstance(element, TensorLoad) else None


def to_bfloat16(values: np.ndarray) -> np.ndarray:
    """float32 as bfloat16 in uint16: to nearest even; NaN stays NaN."""
    return BFLOAT16.encode(values)


def from_bfloat16(stored: np.ndarray) -> np.ndarray:
    """Stored elements as float32; exact."""
    return BFLOAT16.decode(stored)
