"""The transforms of one line of a tile as expressions: what two points +p and -p share is written alike in both.

The compiler's elimination of common subexpressions then finds it: a line of F(4, 3) takes 12 operations in, 10 out.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np

from flextune.plan.algorithms.winograd_transforms import Transforms

Value: TypeAlias = Any
"""Whatever has +, - and *: an expression of TVM, an array."""

Scale = Callable[[float, Value], Value]
"""Multiplies a value by a constant of float32."""


def data_line(transforms: Transforms, line: Sequence[Value], scale: Scale) -> list[Value]:
    """B^T times a line of `transforms.inputs` values."""
    even, odd = line[:-1:2], line[1::2]
    all_points = _even_polynomial(transforms.pairs)
    results = [_combination(all_points, even, scale)]
    for p in transforms.pairs:
        others = _even_polynomial([q for q in transforms.pairs if q != p])
        straight = _combination(others, even[1:], scale)
        crossed = _combination(others, odd[:-1], scale)
        scaled = crossed if p == 1.0 else scale(p, crossed)
        results += [straight + scaled, straight - scaled]
    return [*results, _combination(all_points, odd, scale)]


def result_line(transforms: Transforms, line: Sequence[Value], scale: Scale) -> list[Value]:
    """A^T times a line of `transforms.inputs` values."""
    plus, minus = line[1:-1:2], line[2:-1:2]
    sums = [a + b for a, b in zip(plus, minus, strict=True)]
    differences = [a - b for a, b in zip(plus, minus, strict=True)]
    results = []
    for power in range(transforms.outputs):
        terms = differences if power % 2 else sums
        value = _sum([_scaled(p**power, term, scale) for p, term in zip(transforms.pairs, terms, strict=True)])
        value = line[0] + value if power == 0 else value
        results.append(value + line[-1] if power == transforms.outputs - 1 else value)
    return results


def _even_polynomial(points: Sequence[float]) -> list[float]:
    """Coefficients of the product of (x^2 - p^2), constant term first, in powers of x^2."""
    coefficients = np.poly([p * p for p in points])[::-1] if points else np.ones(1)
    return [float(np.float32(c)) for c in coefficients]


def _combination(coefficients: Sequence[float], values: Sequence[Value], scale: Scale) -> Value:
    """The last coefficient is one; the sum starts with the largest power, as a chain of multiply-adds."""
    total = values[-1]
    for coefficient, value in zip(reversed(coefficients[:-1]), reversed(values[:-1]), strict=True):
        total = _add_scaled(total, coefficient, value, scale)
    return total


def _add_scaled(total: Value, coefficient: float, value: Value, scale: Scale) -> Value:
    if math.isclose(abs(coefficient), 1.0, abs_tol=1e-12):
        return total + value if coefficient > 0 else total - value
    return total + scale(coefficient, value)


def _scaled(coefficient: float, value: Value, scale: Scale) -> Value:
    return value if coefficient == 1.0 else scale(float(np.float32(coefficient)), value)


def _sum(values: Sequence[Value]) -> Value:
    total = values[0]
    for value in values[1:]:
        total = total + value
    return total
