"""Rounding float32 to floats of eight bits and fewer: the code of an element, computed from its bits.

A number's nearest neighbour is found as in any rounding to nearest, even on a tie: half of the last kept bit is added,
less one unit where that bit is 0, and what is below it cut off. Numbers below the smallest normal one are multiples of
a fixed step, which adding 2^23 rounds to.
"""

from __future__ import annotations

from dataclasses import dataclass

from tvm import tirx

from flextune.tvm_types import Expression

_BIAS, _MANTISSA = 127, 23
"""Of float32."""
_INFINITY = 0x7F800000


@dataclass(frozen=True, slots=True)
class FloatFormat:
    """A float of `1 + exponent + mantissa` bits. Codes are those of positive numbers; the sign is the bit above."""

    exponent: int
    mantissa: int
    bias: int
    largest: int
    """The code of the largest finite number."""
    beyond: int
    """The code of what is larger, where it is not to be the largest number: infinity or NaN."""
    nan: int
    """The code of NaN, sign bit and all."""
    has_negative_zero: bool = True

    @property
    def sign_bit(self) -> int:
        return self.exponent + self.mantissa


FORMATS = {
    "float4_e2m1fn": FloatFormat(2, 1, 1, 0x7, 0x7, 0x8),
    "float8_e4m3fn": FloatFormat(4, 3, 7, 0x7E, 0x7F, 0x7F),
    "float8_e4m3fnuz": FloatFormat(4, 3, 8, 0x7F, 0x80, 0x80, has_negative_zero=False),
    "float8_e5m2": FloatFormat(5, 2, 15, 0x7B, 0x7C, 0x7E),
    "float8_e5m2fnuz": FloatFormat(5, 2, 16, 0x7F, 0x80, 0x80, has_negative_zero=False),
}
"""By NumPy's (`ml_dtypes`) names."""


def code_of_float(value: Expression, form: FloatFormat, saturate: bool) -> Expression:
    """The code (uint32) of a float32; what is too large becomes the largest number if `saturate`."""
    bits = _bits(value)
    size = bits & _u(0x7FFFFFFF)
    drop = _MANTISSA - form.mantissa
    rounded = size + _u((1 << (drop - 1)) - 1) + ((size >> _u(drop)) & _u(1))
    normal = (rounded >> _u(drop)) - _u((_BIAS - form.bias) << form.mantissa)
    scale = tirx.const(2.0 ** (form.bias - 1 + form.mantissa), "float32")
    whole = tirx.const(float(1 << _MANTISSA), "float32")
    magnitude = tirx.reinterpret("float32", size)
    small = _bits(magnitude * scale + whole) - _bits(whole)
    smallest = _u((_BIAS + 1 - form.bias) << _MANTISSA)
    code = tirx.Select(size < smallest, small, normal)
    too_large = _u(form.largest if saturate else form.beyond)
    is_large = tirx.any(code > _u(form.largest), size >= _u(_INFINITY))
    code = tirx.Select(is_large, too_large, code)
    sign = (bits >> _u(31)) << _u(form.sign_bit)
    signed = code | sign
    if not form.has_negative_zero:
        signed = tirx.Select(tirx.any(code == _u(0), code == _u(form.nan)), code, signed)
    return tirx.Select(size > _u(_INFINITY), _u(form.nan), signed)


def code_of_power(value: Expression, round_mode: str, saturate: bool) -> Expression:
    """The code (uint32) of a float32 as a power of two, which is its exponent, rounded up, down or to nearest."""
    bits = _bits(value)
    exponent = (bits >> _u(_MANTISSA)) & _u(0xFF)
    fraction = bits & _u((1 << _MANTISSA) - 1)
    half = _u(1 << (_MANTISSA - 1))
    is_up = {
        "up": fraction > _u(0),
        "down": fraction < _u(0),
        "nearest": tirx.any(fraction > half, tirx.all(fraction == half, exponent > _u(0))),
    }[round_mode]
    if saturate:
        is_up = tirx.all(is_up, exponent != _u(0xFE))
    return tirx.Select(exponent == _u(0xFF), exponent, exponent + tirx.Select(is_up, _u(1), _u(0)))


def _bits(value: Expression) -> Expression:
    return tirx.reinterpret("uint32", value)


def _u(value: int) -> Expression:
    return tirx.const(value, "uint32")
