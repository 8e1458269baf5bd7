"""exp, tanh and erf of float32 vectors as polynomials, in place of a call of the C library per lane; log, pow: `power`.

LLVM turns the exponential of a vector into one call per lane, and its tanh and erf likewise. The polynomials here stay
in vector registers. They agree with the exact functions within a few units in the last place (tests say how many), keep
infinities, NaN and results below the smallest normal number, and are what `operators` puts in the place of TVM's.

exp: reduction to [-ln 2 / 2, ln 2 / 2] and the coefficients of Cephes' expf (Moshier 1992). tanh and erf: the rational
minimax approximations that Eigen, XLA and TVM's topi share.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from tvm import tirx

from flextune.tvm_types import Expression

_LOG2_E = 1.44269504088896341
_LN2_HIGH, _LN2_LOW = 0.693359375, -2.12194440e-4
_EXP_LEAST, _EXP_MOST = -104.0, 88.8
_EXP = (1.9875691500e-4, 1.3981999507e-3, 8.3334519073e-3, 4.1665795894e-2, 1.6666665459e-1, 5.0000001201e-1)

_TANH_LIMIT = 7.90531110763549805
_TANH_OVER = (
    -2.76076847742355e-16,
    2.00018790482477e-13,
    -8.60467152213735e-11,
    5.12229709037114e-08,
    1.48572235717979e-05,
    6.37261928875436e-04,
    4.89352455891786e-03,
)
_TANH_UNDER = (1.19825839466702e-06, 1.18534705686654e-04, 2.26843463243900e-03, 4.89352518554385e-03)

_ERF_LIMIT = 4.0
_ERF_OVER = (
    -2.72614225801306e-10,
    2.77068142495902e-08,
    -2.10102402082508e-06,
    -5.69250639462346e-05,
    -7.34990630326855e-04,
    -2.95459980854025e-03,
    -1.60960333262415e-02,
)
_ERF_UNDER = (
    -1.45660718464996e-05,
    -2.13374055278905e-04,
    -1.68282697438203e-03,
    -7.37332916720468e-03,
    -1.42647390514189e-02,
)


def exp(value: Expression) -> Expression:
    """e ** value of float32, within one unit in the last place."""
    return _keeping_nan(value, _exp)


def tanh(value: Expression) -> Expression:
    """The hyperbolic tangent of float32, within 5 units in the last place."""
    return _keeping_nan(value, _tanh)


def erf(value: Expression) -> Expression:
    """The error function of float32, within 7 units in the last place."""
    return _keeping_nan(value, _erf)


def _keeping_nan(value: Expression, function: Callable[[Expression], Expression]) -> Expression:
    x = tirx.Var("x", str(value.ty))
    return tirx.Let(x, value, tirx.Select(tirx.isnan(x), x, function(x)))


def _exp(x: Expression) -> Expression:
    clamped, whole, rest = (tirx.Var(name, str(x.ty)) for name in ("clamped", "whole", "rest"))
    power = tirx.Var("power", str(x.ty).replace("float32", "int32"))
    fraction = _polynomial(_EXP, rest) * rest * rest + rest + 1.0
    first = power >> 1
    result = fraction * _power_of_two(first) * _power_of_two(power - first)  # at once it could leave the normal numbers
    result = tirx.Let(power, whole.astype(str(power.ty)), result)
    result = tirx.Let(rest, clamped - whole * _LN2_HIGH - whole * _LN2_LOW, result)
    result = tirx.Let(whole, tirx.floor(clamped * _LOG2_E + 0.5), result)
    return tirx.Let(clamped, _clamped(x, _EXP_LEAST, _EXP_MOST), result)


def _tanh(x: Expression) -> Expression:
    return _rational(x, _TANH_LIMIT, _TANH_OVER, _TANH_UNDER)


def _erf(x: Expression) -> Expression:
    return _rational(x, _ERF_LIMIT, _ERF_OVER, _ERF_UNDER)


def _rational(x: Expression, limit: float, over: Sequence[float], under: Sequence[float]) -> Expression:
    """x * over(x²) / under(x²), x no further than `limit` from 0, where the function is 1 to the last bit."""
    clamped, square = tirx.Var("clamped", str(x.ty)), tirx.Var("square", str(x.ty))
    result = clamped * _polynomial(over, square) / _polynomial(under, square)
    return tirx.Let(clamped, _clamped(x, -limit, limit), tirx.Let(square, clamped * clamped, result))


def _polynomial(coefficients: Sequence[float], x: Expression) -> Expression:
    """Horner's rule, the highest power first."""
    result = tirx.const(coefficients[0], str(x.ty))
    for coefficient in coefficients[1:]:
        result = result * x + tirx.const(coefficient, str(x.ty))
    return result


def _clamped(x: Expression, least: float, most: float) -> Expression:
    return tirx.max(tirx.min(x, tirx.const(most, str(x.ty))), tirx.const(least, str(x.ty)))


def _power_of_two(exponent: Expression) -> Expression:
    """2 ** exponent for -126 <= exponent <= 127, by the bits of a float32."""
    return tirx.reinterpret(str(exponent.ty).replace("int32", "float32"), (exponent + 127) << 23)
