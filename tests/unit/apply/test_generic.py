"""The generic schedule: never illegal, never another result, and parallel and vectorised where that is easy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tvm
from tvm import te, tirx

from flextune.apply.generic import generic_schedule
from flextune.target.target import Target

TARGET = Target.parse("x86:avx2-generic")


def softmax() -> list[Any]:
    x = te.placeholder((6, 40), "float32", name="x")
    k, j = te.reduce_axis((0, 40), "k"), te.reduce_axis((0, 40), "j")
    top = te.compute((6,), lambda i: te.max(x[i, k], axis=k), name="top")
    exponent = te.compute((6, 40), lambda i, c: te.exp(x[i, c] - top[i]), name="exponent")
    total = te.compute((6,), lambda i: te.sum(exponent[i, j], axis=j), name="total")
    return [x, te.compute((6, 40), lambda i, c: exponent[i, c] / total[i], name="out")]


def chain() -> list[Any]:
    x = te.placeholder((5, 7, 32), "float32", name="x")
    scaled = te.compute(x.shape, lambda *i: x(*i) * 2.0, name="scaled")
    return [x, te.compute(x.shape, lambda *i: te.max(scaled(*i), 0.0), name="out")]


def transposed() -> list[Any]:
    x = te.placeholder((9, 13), "float32", name="x")
    return [x, te.compute((13, 9), lambda i, j: x[j, i], name="out")]


def window_sum() -> list[Any]:
    x = te.placeholder((4, 10, 24), "float32", name="x")
    k = te.reduce_axis((0, 3), "k")
    return [x, te.compute((4, 8, 24), lambda n, i, c: te.sum(x[n, i + k, c], axis=k), name="out")]


def scalar() -> list[Any]:
    x = te.placeholder((17,), "float32", name="x")
    k = te.reduce_axis((0, 17), "k")
    return [x, te.compute((), lambda: te.sum(x[k], axis=k), name="out")]


@pytest.mark.parametrize("program", [softmax, chain, transposed, window_sum, scalar])
def test_result_is_unchanged(program: Any) -> None:
    tensors = program()
    function = te.create_prim_func(tensors)
    target = tvm.target.Target({"kind": "llvm"})
    x = np.random.default_rng(0).uniform(0, 1, [int(size) for size in tensors[0].shape]).astype(np.float32)
    results = []
    for version in (function, generic_schedule(function, TARGET)):
        out = tvm.runtime.tensor(np.zeros([int(size) for size in tensors[1].shape], np.float32))
        tvm.compile(version, target=target).jit()["main"](tvm.runtime.tensor(x), out)
        results.append(out.numpy())
    np.testing.assert_allclose(results[1], results[0], rtol=1e-6)


def test_loops_become_parallel_and_vector() -> None:
    text = generic_schedule(te.create_prim_func(chain()), TARGET).script()
    assert "T.parallel" in text
    assert "T.vectorized(8)" in text
    assert "scaled" not in text.replace('"out"', "")  # inlined


def test_extern_calls_stay_as_they_are() -> None:
    """A body without blocks offers nothing to schedule."""
    function = te.create_prim_func(scalar())
    assert isinstance(generic_schedule(function, TARGET), tirx.PrimFunc)
