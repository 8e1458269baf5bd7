"""Powers and logarithms of float32 vectors, in place of a call of the C library per lane.

Exponents that are quarters or small whole numbers are roots and products. All others go through float64: the logarithm
by its series in (m - 1) / (m + 1), the exponential by its Taylor polynomial, both so exact that the one rounding to
float32 is the error, and of a range in which neither overflows. Results at 0, infinities, NaN and negative numbers are
those of C (ISO C17, F.10.4.4).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from tvm import tirx

from flextune.tvm_types import Expression

_LOG_SERIES = tuple(2.0 / math.log(2.0) / (2 * term + 1) for term in reversed(range(8)))
_EXP2_SERIES = tuple(math.log(2.0) ** term / math.factorial(term) for term in reversed(range(10)))
_EXPONENT_BITS, _BIAS = 52, 1023
_HALF_ROOT = 0x3FE6A09E667F3BCD
"""The bits of sqrt(1/2) as a float64."""
_LEAST_EXPONENT, _MOST_EXPONENT = -200.0, 200.0


def power(base: Expression, exponent: Expression) -> Expression:
    """base ** exponent of float32, within 4 units in the last place; within one where it takes the general way."""
    x = tirx.Var("base", str(base.ty))
    known = _constant(exponent)
    if known in _PRODUCTS:
        return tirx.Let(x, base, _PRODUCTS[known](x))
    if known is not None and known in _ROOTS:
        return tirx.Let(x, base, _by_roots(x, known))
    y = tirx.Var("exponent", str(exponent.ty))
    return tirx.Let(x, base, tirx.Let(y, exponent, _general(x, y)))


def logarithm(value: Expression) -> Expression:
    """The natural logarithm of float32, within one unit in the last place."""
    x = tirx.Var("x", str(value.ty))
    magnitude = _log2(x.astype(_wide(x))) * _like(math.log(2.0), _wide(x))
    result = _choose(x == _like(math.inf, x), math.inf, magnitude.astype(str(x.ty)))
    result = _choose(x == _like(0.0, x), -math.inf, _choose(x < _like(0.0, x), math.nan, result))
    return tirx.Let(x, value, tirx.Select(tirx.isnan(x), x, result))


def _constant(expression: Expression) -> float | None:
    if isinstance(expression, tirx.Broadcast):
        expression = expression.value
    return float(expression.value) if isinstance(expression, tirx.FloatImm) else None


# exponents that need no logarithm


def _one(x: Expression) -> Expression:
    return _like(1.0, x)


def _square(x: Expression) -> Expression:
    square = tirx.Var("square", str(x.ty))
    return tirx.Let(square, x * x, square * square)


_PRODUCTS: dict[float | None, Callable[[Expression], Expression]] = {
    0.0: _one,
    1.0: lambda x: x,
    2.0: lambda x: x * x,
    3.0: lambda x: x * x * x,
    4.0: _square,
    -1.0: lambda x: _one(x) / x,
}

_ROOTS: dict[float | None, Callable[[Expression, Expression], Expression]] = {
    -0.75: lambda x, root: _one(x) / (root * tirx.sqrt(root)),
    -0.5: lambda x, root: _one(x) / root,
    0.25: lambda _, root: tirx.sqrt(root),
    0.5: lambda _, root: root,
    0.75: lambda _, root: root * tirx.sqrt(root),
    1.5: lambda x, root: tirx.abs(x) * root,
}
"""The power by x and its square root."""


def _by_roots(x: Expression, exponent: float) -> Expression:
    root = tirx.Var("root", str(x.ty))
    result = tirx.Let(
        root, tirx.abs(tirx.sqrt(x)), _ROOTS[exponent](x, root)
    )  # the root of -0 is -0, its powers are positive
    return _choose(x == _like(-math.inf, x), 0.0 if exponent < 0 else math.inf, result)


# any exponent


def _general(x: Expression, y: Expression) -> Expression:
    names = ("size", "whole", "half", "magnitude")
    size, whole, half, magnitude = (tirx.Var(name, str(x.ty)) for name in names)
    zero, infinite = _like(0.0, x), _like(math.inf, x)
    result = tirx.Select(_has_sign(x), _of_negative(x, y, whole, half, magnitude), magnitude)
    result = tirx.Select(tirx.isnan(x), x, tirx.Select(tirx.isnan(y), y, result))
    result = _choose(x == _one(x), 1.0, _choose(y == zero, 1.0, result))
    finite = _exp2(y.astype(_wide(y)) * _log2(size.astype(_wide(x)))).astype(str(x.ty))
    finite = _choose(size == infinite, tirx.Select(y > zero, infinite, zero), finite)
    finite = _choose(size == zero, tirx.Select(y > zero, zero, infinite), finite)
    result = tirx.Let(magnitude, _choose(size == _one(x), 1.0, finite), result)
    result = tirx.Let(half, tirx.floor(y * _like(0.5, y)), result)
    return tirx.Let(size, tirx.abs(x), tirx.Let(whole, tirx.floor(y), result))


def _of_negative(
    x: Expression, y: Expression, whole: Expression, half: Expression, magnitude: Expression
) -> Expression:
    """The power of a negative base by that of its absolute value; `whole` is floor(y), `half` floor(y / 2)."""
    signed = tirx.Select(whole == half + half, magnitude, magnitude * _like(-1.0, x))
    finite = tirx.And(x < _like(0.0, x), x > _like(-math.inf, x))
    return tirx.Select(whole == y, signed, tirx.Select(finite, _like(math.nan, x), magnitude))


def _has_sign(x: Expression) -> Expression:
    bits = tirx.reinterpret(_wide(x, "int32"), x)
    return bits < _like(0, bits)


def _log2(x: Expression) -> Expression:
    """The binary logarithm of a positive, finite float64 that came from a float32 (so that it is no denormal)."""
    integer = _wide(x, "int64")
    bits, steps = tirx.Var("bits", integer), tirx.Var("steps", integer)
    names = ("mantissa", "ratio", "fraction")
    mantissa, ratio, fraction = (tirx.Var(name, str(x.ty)) for name in names)
    result = steps.astype(_wide(x, "int32")).astype(str(x.ty)) + fraction  # not a product: TVM visits its factors twice
    result = tirx.Let(fraction, ratio * _polynomial(_LOG_SERIES, ratio * ratio), result)
    result = tirx.Let(ratio, (mantissa - _one(x)) / (mantissa + _one(x)), result)
    result = tirx.Let(mantissa, tirx.reinterpret(str(x.ty), bits - (steps << _like(_EXPONENT_BITS, steps))), result)
    result = tirx.Let(steps, (bits - _like(_HALF_ROOT, bits)) >> _like(_EXPONENT_BITS, bits), result)
    return tirx.Let(bits, tirx.reinterpret(integer, x), result)


def _exp2(x: Expression) -> Expression:
    """2 ** x of a float64, good to 1e-11, for a result that is rounded to float32: beyond its range 0 or infinity."""
    clamped, whole = tirx.Var("clamped", str(x.ty)), tirx.Var("steps", str(x.ty))
    biased = whole.astype(_wide(x, "int32")).astype(_wide(x, "int64")) + _like(_BIAS, _wide(x, "int64"))
    scale = tirx.reinterpret(str(x.ty), biased << _like(_EXPONENT_BITS, biased))
    result = tirx.Let(whole, tirx.floor(clamped + _like(0.5, x)), _polynomial(_EXP2_SERIES, clamped - whole) * scale)
    given = tirx.Var("given", str(x.ty))
    bounded = tirx.max(tirx.min(given, _like(_MOST_EXPONENT, x)), _like(_LEAST_EXPONENT, x))
    return tirx.Let(given, x, tirx.Let(clamped, bounded, result))


def _polynomial(coefficients: Sequence[float], x: Expression) -> Expression:
    """Horner's rule, the highest power first; x is used many times and must be a variable or cheap."""
    variable = tirx.Var("rest", str(x.ty))
    result = _like(coefficients[0], x)
    for coefficient in coefficients[1:]:
        result = result * variable + _like(coefficient, x)
    return tirx.Let(variable, x, result)


def _choose(condition: Expression, value: Any, otherwise: Expression) -> Expression:
    return tirx.Select(condition, _like(value, otherwise) if isinstance(value, float) else value, otherwise)


def _wide(x: Expression, element: str = "float64") -> str:
    """The type of x with other elements."""
    _, times, lanes = str(x.ty).partition("x")
    return f"{element}{times}{lanes}"


def _like(value: float, model: Any) -> Expression:
    """A constant of a type, or of the type of an expression."""
    return tirx.const(value, model if isinstance(model, str) else str(model.ty))
