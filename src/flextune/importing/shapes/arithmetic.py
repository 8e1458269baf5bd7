"""Arithmetic on elements that may depend on sizes: exactly what the model computes, or None where that is not sure."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import onnx

from flextune.importing.shapes.ratio import ONE, ZERO, Ratio
from flextune.importing.shapes.tracked import INTEGERS
from flextune.workload.dim import Dim
from flextune.workload.dim_expr import DimExpr, maximum, minimum

Element = Ratio | None
_MANTISSA = {onnx.TensorProto.FLOAT16: 11, onnx.TensorProto.BFLOAT16: 8, onnx.TensorProto.DOUBLE: 53}


@dataclass(frozen=True, slots=True)
class Arithmetic:
    """Operations on elements of one type, for sizes in these ranges."""

    dtype: int
    dims: Mapping[str, Dim]

    @property
    def is_whole(self) -> bool:
        return self.dtype in INTEGERS

    def add(self, a: Ratio, b: Ratio) -> Element:
        above = a.numerator * b.denominator + b.numerator * a.denominator
        return self._rounded(Ratio(above, a.denominator * b.denominator), a, b)

    def subtract(self, a: Ratio, b: Ratio) -> Element:
        return self.add(a, Ratio(-b.numerator, b.denominator))

    def multiply(self, a: Ratio, b: Ratio) -> Element:
        return self._rounded(Ratio(a.numerator * b.numerator, a.denominator * b.denominator), a, b)

    def divide(self, a: Ratio, b: Ratio) -> Element:
        if self.is_whole:
            return self._truncated(a.numerator, b.numerator)
        divisor = b.constant
        if not divisor or not self._is_exact(a):
            return None
        found = Ratio(a.numerator * divisor.denominator, a.denominator * divisor.numerator)
        if divisor < 0:
            found = Ratio(-found.numerator, -found.denominator)
        return self._rounded(found.reduced(), a, b, divides=True)

    def _truncated(self, above: DimExpr, below: DimExpr) -> Element:
        """Integers are divided towards zero."""
        if below.value == 0 or below.bounds(self.dims)[0] < 0:
            return None
        lo, hi = above.bounds(self.dims)
        if lo >= 0:
            return Ratio((above // below).simplified(self.dims))
        return Ratio(-((-above // below).simplified(self.dims))) if hi <= 0 else None

    def modulo(self, a: Ratio, b: Ratio) -> Element:
        """Where nothing is negative; then all ways to define it are the same."""
        if not self.is_whole or b.numerator.value == 0:
            return None
        negative = min(each.numerator.bounds(self.dims)[0] for each in (a, b)) < 0
        return None if negative else Ratio((a.numerator % b.numerator).simplified(self.dims))

    def smallest(self, a: Ratio, b: Ratio) -> Element:
        return self._chosen(minimum, a, b)

    def largest(self, a: Ratio, b: Ratio) -> Element:
        return self._chosen(maximum, a, b)

    def _chosen(self, choose: Callable[..., DimExpr], a: Ratio, b: Ratio) -> Element:
        below = math.lcm(a.denominator, b.denominator)
        above = choose(a.numerator * (below // a.denominator), b.numerator * (below // b.denominator))
        return Ratio(above.simplified(self.dims), below).reduced()

    def negated(self, a: Ratio) -> Element:
        return Ratio(-a.numerator, a.denominator)

    def absolute(self, a: Ratio) -> Element:
        lo, hi = a.numerator.bounds(self.dims)
        return a if lo >= 0 else self.negated(a) if hi <= 0 else None

    def sign(self, a: Ratio) -> Element:
        lo, hi = a.numerator.bounds(self.dims)
        return Ratio.of((lo > 0) - (hi < 0)) if lo > 0 or hi < 0 or lo == hi else None

    def floor(self, a: Ratio) -> Element:
        return Ratio(a.floor())

    def ceil(self, a: Ratio) -> Element:
        return Ratio(a.ceil())

    def round(self, a: Ratio) -> Element:
        value = a.constant
        return a if a.denominator == 1 else None if value is None else Ratio.of(round(value))

    def cast(self, a: Ratio, to: int) -> Element:
        """As an element of another type; towards zero where that has no fractions."""
        target = Arithmetic(to, self.dims)
        if to == onnx.TensorProto.BOOL:
            return self.differs(a, ZERO)
        if not target.is_whole:
            return target._rounded(a, a)
        lo, hi = a.numerator.bounds(self.dims)
        whole = a.floor() if lo >= 0 else a.ceil() if hi <= 0 else a.numerator if a.denominator == 1 else None
        return None if whole is None else Ratio(whole)

    def equal(self, a: Ratio, b: Ratio) -> Element:
        lo, hi = self._difference(a, b)
        return ONE if lo == hi == 0 else ZERO if lo > 0 or hi < 0 else None

    def differs(self, a: Ratio, b: Ratio) -> Element:
        return self.inverted(self.equal(a, b))

    def less(self, a: Ratio, b: Ratio) -> Element:
        lo, hi = self._difference(a, b)
        return ONE if hi < 0 else ZERO if lo >= 0 else None

    def less_or_equal(self, a: Ratio, b: Ratio) -> Element:
        return self.inverted(self.less(b, a))

    @staticmethod
    def inverted(a: Element) -> Element:
        return None if a is None else ZERO if a == ONE else ONE

    def _difference(self, a: Ratio, b: Ratio) -> tuple[int, int]:
        return (a.numerator * b.denominator - b.numerator * a.denominator).bounds(self.dims)

    def _rounded(self, found: Ratio, *operands: Ratio, divides: bool = False) -> Element:
        """A result as the model has it, which rounds what has fractions."""
        if self.is_whole:
            return Ratio(found.numerator.simplified(self.dims))
        value = found.constant
        if value is not None:
            return Ratio.of(_as_float(value, self.dtype))
        found = Ratio(found.numerator.simplified(self.dims), found.denominator).reduced()
        if divides and found.denominator & (found.denominator - 1):
            return found if operands[0].denominator == 1 else None
        return found if self._is_exact(found) else None

    def _is_exact(self, value: Ratio) -> bool:
        """Whether the float type has the number, for all sizes."""
        if value.denominator & (value.denominator - 1):
            return False
        return max(map(abs, value.numerator.bounds(self.dims))) <= 1 << _MANTISSA.get(self.dtype, 24)


def _as_float(value: Fraction, dtype: int) -> Fraction:
    if dtype == onnx.TensorProto.DOUBLE:
        return Fraction(float(value))
    return Fraction(float(np.float16(value) if dtype == onnx.TensorProto.FLOAT16 else np.float32(float(value))))
