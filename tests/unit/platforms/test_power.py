"""Powers and logarithms of float32 vectors: close to the exact ones, and C's results at the special values."""

import numpy as np
import pytest
import tvm
from tvm import te, tirx

from flextune.platforms.x86.code_generation import compile_module
from flextune.target.detect import detect

SPECIAL = np.array(
    [0.0, -0.0, 1.0, -1.0, 2.0, -2.0, 0.5, -0.5, 3.0, -3.0, np.inf, -np.inf, np.nan, 1e-40, -1e-40, 3e38, -3e38,
     0.1, 2.5, -2.5, 1e9, 16777217.0, 8388607.0, -8388607.0], np.float32,
)  # fmt: skip
EXPONENTS = (0.0, 1.0, 2.0, 3.0, 4.0, -1.0, -2.0, 0.25, 0.5, 0.75, 1.5, -0.25, -0.5, -0.75, -1.5, 0.9, -2.2, 5.0, 7.5)


def computed(function, *arrays, vectorised=True):
    inputs = [te.placeholder(a.shape, str(a.dtype), name=f"a{number}") for number, a in enumerate(arrays)]
    result = te.compute(arrays[0].shape, lambda i: function(*(a[i] for a in inputs)), name="result")
    schedule = tvm.s_tir.Schedule(te.create_prim_func([*inputs, result]))
    if vectorised:
        (loop,) = schedule.get_loops(schedule.get_sblock("result"))
        schedule.vectorize(schedule.split(loop, [None, 16])[1])
    output = tvm.runtime.tensor(np.zeros_like(arrays[0]))
    compile_module(schedule.mod, detect())["main"](*map(tvm.runtime.tensor, arrays), output)
    return output.numpy()


def exact_power(x, y):
    """C's pow of float64; NumPy takes a square root for the exponent 0.5, which is -0 at -0 and NaN at -inf."""
    with np.errstate(all="ignore"):
        result = np.power(x.astype(np.float64), np.float64(y))
    return np.where((y == 0.5) & ((x == -np.inf) | (x == 0)), np.abs(x), result)


def units_off(found, exact):
    with np.errstate(all="ignore"):
        rounded = exact.astype(np.float32)
        usual = np.isfinite(rounded) & (np.abs(rounded) >= np.finfo(np.float32).tiny)
        np.testing.assert_array_equal(np.isnan(found), np.isnan(rounded))
        np.testing.assert_array_equal(found[np.isinf(rounded)], rounded[np.isinf(rounded)])
        return np.max(np.abs(found - exact)[usual] / np.spacing(np.abs(rounded[usual])), initial=0.0)


def bases(count=1 << 14):
    rng = np.random.default_rng(0)
    return np.concatenate([10.0 ** rng.uniform(-38, 38, count), rng.uniform(0.5, 2.0, count)]).astype(np.float32)


@pytest.mark.parametrize("exponent", EXPONENTS)
def test_powers_with_a_known_exponent(exponent):
    """Within 2.5 units in the last place, at all magnitudes and both signs; special values exactly as C has them."""
    x = np.concatenate([bases(), -bases(), np.resize(SPECIAL, 32)])
    exponent = float(np.float32(exponent))
    found = computed(lambda a: tirx.pow(a, tirx.const(exponent, "float32")), x)
    expected = exact_power(x, exponent)
    assert units_off(found, expected) <= (3.5 if exponent == -0.75 else 2.5)
    zero = expected == 0
    np.testing.assert_array_equal(np.signbit(found[zero]), np.signbit(expected[zero]))


def test_powers_with_an_exponent_per_element():
    rng = np.random.default_rng(1)
    x = bases()
    y = rng.uniform(-1, 1, len(x)).astype(np.float32) * np.float32(128) / np.abs(np.log2(x) + np.float32(1e-3))
    assert units_off(computed(tirx.pow, x, y.astype(np.float32)), exact_power(x, y.astype(np.float32))) <= 0.51


@pytest.mark.parametrize("vectorised", [True, False])
def test_special_values_of_both_operands(vectorised):
    x, y = (np.ascontiguousarray(a.reshape(-1)) for a in np.meshgrid(SPECIAL, SPECIAL))
    found = computed(tirx.pow, x, y, vectorised=vectorised)
    with np.errstate(all="ignore"):
        expected = exact_power(x, y).astype(np.float32)
    np.testing.assert_allclose(found, expected, rtol=1.2e-7, atol=1.5e-45)
    np.testing.assert_array_equal(np.signbit(found[found == 0]), np.signbit(expected[found == 0]))


def test_logarithms():
    special = np.array([0, -0.0, 1, -1, np.inf, -np.inf, np.nan, 1e-45], np.float32)
    x = np.concatenate([bases(), 10.0 ** np.linspace(-44, -38, 64), np.resize(special, 16)]).astype(np.float32)
    with np.errstate(all="ignore"):
        assert units_off(computed(tirx.log, x), np.log(x.astype(np.float64))) <= 0.51


def test_powers_of_other_types_keep_their_lowering():
    x = np.linspace(0.1, 3, 16)
    np.testing.assert_allclose(computed(lambda a: tirx.pow(a, tirx.const(0.3, "float64")), x), x**0.3, rtol=1e-14)
