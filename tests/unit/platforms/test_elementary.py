"""exp, tanh and erf as polynomials: close to the exact functions, and right at the special values."""

import math

import numpy as np
import pytest
import tvm
from tvm import te, tirx

from flextune.platforms.x86.code_generation import compile_executable, compile_module
from flextune.target.detect import detect

SPECIAL = np.array([np.inf, -np.inf, np.nan, 0.0, -0.0, 1e-40, -1e-40, 89.0, -104.5, 1e30, -1e30], dtype=np.float32)


def computed(function, x, vectorised=True):
    a = te.placeholder(x.shape, str(x.dtype), name="a")
    result = te.compute(x.shape, lambda i: function(a[i]), name="result")
    schedule = tvm.s_tir.Schedule(te.create_prim_func([a, result]))
    if vectorised:
        (loop,) = schedule.get_loops(schedule.get_sblock("result"))
        schedule.vectorize(schedule.split(loop, [None, 16])[1])
    output = tvm.runtime.tensor(np.zeros_like(x))
    compile_module(schedule.mod, detect())["main"](tvm.runtime.tensor(x), output)
    return output.numpy()


def erf(x):
    return np.array([math.erf(value) for value in x.tolist()])


@pytest.mark.parametrize(
    ("function", "exact", "limit", "most_ulp"),
    [(tirx.exp, np.exp, 87.0, 1.0), (tirx.tanh, np.tanh, 12.0, 5.0), (tirx.erf, erf, 6.0, 7.0)],
    ids=["exp", "tanh", "erf"],
)
def test_within_a_few_units_in_the_last_place(function, exact, limit, most_ulp):
    rng = np.random.default_rng(0)
    small = 10.0 ** rng.uniform(-30, 0, 1 << 14) * rng.choice([-1, 1], 1 << 14)
    x = np.concatenate([np.linspace(-limit, limit, 1 << 16), rng.normal(0, 1, 1 << 14), small]).astype(np.float32)
    expected = exact(x.astype(np.float64))
    ulp = np.abs(computed(function, x) - expected) / np.spacing(np.abs(expected).astype(np.float32))
    assert ulp.max() <= most_ulp


@pytest.mark.parametrize("vectorised", [True, False])
def test_special_values(vectorised):
    x = np.resize(SPECIAL, 16)
    with np.errstate(over="ignore"):
        np.testing.assert_allclose(computed(tirx.exp, x, vectorised), np.exp(x), rtol=1e-6)
    np.testing.assert_allclose(computed(tirx.tanh, x, vectorised), np.tanh(x), rtol=3e-7, atol=1e-43)
    expected = erf(x.astype(np.float64))
    np.testing.assert_allclose(computed(tirx.erf, x, vectorised), expected, rtol=1e-6, atol=1e-43)


def test_results_below_the_smallest_normal_number():
    x = np.linspace(-103.2, -87.5, 4096, dtype=np.float32)
    np.testing.assert_allclose(computed(tirx.exp, x), np.exp(x.astype(np.float64)), atol=1.5e-45)


def test_other_types_keep_their_lowering():
    x = np.linspace(-3, 3, 16)
    np.testing.assert_allclose(computed(tirx.exp, x), np.exp(x), rtol=1e-14)
    np.testing.assert_allclose(computed(tirx.tanh, x), np.tanh(x), rtol=1e-14)


@pytest.mark.parametrize(("name", "instruction"), [("isnan", "fcmp uno <16 x float>"), ("erf", "fdiv <16 x float>")])
def test_vectors_are_not_taken_apart(name, instruction):
    """TVM's own table of what can be computed for a vector does not have these."""
    a = te.placeholder((64,), "float32", name="a")
    function = getattr(tirx, name)
    result = te.compute(
        (64,), lambda i: tirx.Select(tirx.isnan(a[i]), a[i], function(a[i]).astype("float32") * a[i]), name="result"
    )
    schedule = tvm.s_tir.Schedule(te.create_prim_func([a, result]))
    (loop,) = schedule.get_loops(schedule.get_sblock("result"))
    schedule.vectorize(schedule.split(loop, [None, 16])[1])
    built = compile_executable(schedule.mod, detect())
    assert instruction in built.mod.inspect_source("ll")
