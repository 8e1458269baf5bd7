"""The larger and the smaller of two elements where NaN in either gives NaN, and reductions by them.

TVM writes `a > b ? a : b`, which is `b` whenever one of them is NaN. And it splits reductions into partial ones
(`rfactor`) only if it knows how two results are combined, so these are made known to it.
"""

from __future__ import annotations

import ctypes
import math
from collections.abc import Callable, Sequence
from functools import cache

import tvm_ffi
from tvm import tirx

from flextune.tvm_types import Expression

Combination = Callable[[Expression, Expression], Expression]

LEAST, MOST = -math.inf, math.inf
"""What maxima and minima start from."""


def extreme(operation: Combination, left: Expression, right: Expression) -> Expression:
    """`operation` (`tirx.Max` or `tirx.Min`) of two elements, NaN if one of them is NaN."""
    if isinstance(right, tirx.FloatImm):
        left, right = right, left
    if isinstance(left, tirx.FloatImm):
        return operation(left, right)
    return tirx.Select(tirx.isnan(left), left, operation(left, right))


@cache
def register_extremes() -> None:
    """Makes the two reductions known to TVM's schedules."""
    for operation, start in ((tirx.Max, LEAST), (tirx.Min, MOST)):
        _register(operation, start)


def _register(operation: Combination, start: float) -> None:
    def combined(left: Sequence[Expression], right: Sequence[Expression]) -> list[Expression]:
        return [extreme(operation, left[0], right[0])]

    def identity(values: Sequence[Expression]) -> list[Expression]:
        return [tirx.const(start, str(values[0].ty))]

    functions = [tvm_ffi.convert(function) for function in (combined, identity)]
    for function in functions:  # TVM lets go of them after the interpreter is gone: they must outlive it
        tvm_ffi.LIB.TVMFFIObjectIncRef(ctypes.c_void_p(function.__chandle__()))
    tvm_ffi.get_global_func("s_tir.schedule.RegisterReducer")(1, *functions)
