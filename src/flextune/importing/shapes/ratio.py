"""Elements of small tensors that shapes are computed with: a size, or one divided by a number."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from flextune.workload.dim_expr import DimExpr, ceil_div


@dataclass(frozen=True, slots=True)
class Ratio:
    """`numerator / denominator`. Integers and booleans have the denominator 1.

    >>> str(Ratio(DimExpr.parse("h + 1"), 2).floor())
    '(h + 1)//2'
    """

    numerator: DimExpr
    denominator: int = 1

    @classmethod
    def of(cls, value: int | Fraction | DimExpr) -> Ratio:
        if isinstance(value, Fraction):
            return cls(DimExpr.of(value.numerator), value.denominator)
        return cls(DimExpr.of(value))

    @property
    def constant(self) -> Fraction | None:
        """The number it is, if it depends on no size."""
        value = self.numerator.value
        return None if value is None else Fraction(value, self.denominator)

    @property
    def size(self) -> DimExpr | None:
        """The expression of an integer."""
        return self.numerator if self.denominator == 1 else None

    def floor(self) -> DimExpr:
        return self.numerator // self.denominator

    def ceil(self) -> DimExpr:
        return ceil_div(self.numerator, self.denominator)

    def reduced(self) -> Ratio:
        """In lowest terms."""
        whole = self.numerator // self.denominator
        return Ratio(whole) if whole * self.denominator == self.numerator else self


ZERO, ONE = Ratio.of(0), Ratio.of(1)
