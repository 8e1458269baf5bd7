"""Kernels on parts of larger tensors."""

from __future__ import annotations

import numpy as np
import pytest
import tvm
from tvm import te, tirx
from tvm.script import tirx as T

from flextune.schedule.strided import Strided, indexed_parameters, with_strides


def _scaled(shape: tuple[int, ...]) -> tirx.PrimFunc:
    x = te.placeholder(shape, "float32", name="x")
    return te.create_prim_func([x, te.compute(shape, lambda *index: x[index] * 2.0, name="y")])


@T.prim_func(s_tir=True)
def _passed_on(x: T.Buffer((16,), "float32"), y: T.Buffer((16,), "float32")) -> None:
    with T.sblock("root"):
        for i in range(16):
            with T.sblock("y"):
                v = T.axis.spatial(16, i)
                matched = T.match_buffer(x[v : v + 1], (1,), "float32", offset_factor=1)
                y[v] = matched[0]


def _run(function: tirx.PrimFunc, source: np.ndarray, result: np.ndarray) -> np.ndarray:
    """The storage of `result` after a call of the function on that of both, whatever their shapes are."""
    with tvm.transform.PassContext(config={"tirx.disable_assert": True}):
        module = tvm.compile(tvm.IRModule({"main": function.with_attr("global_symbol", "main")}), target="llvm")
    tensors = [tvm.runtime.tensor(source), tvm.runtime.tensor(result)]
    module.jit()["main"](*tensors)
    return np.asarray(tensors[1].numpy())


@pytest.mark.parametrize("at", [0, 3, 8])
def test_a_kernel_reads_and_writes_parts(at: int) -> None:
    shape, source, result = (4, 8), np.zeros((4, 24), np.float32), np.zeros((4, 16 + at), np.float32)
    source[:, :8] = np.arange(32).reshape(shape)
    function = _scaled(shape)
    assert indexed_parameters(function) == {0, 1}
    strided = with_strides(function, {0: Strided((24, 1), 64), 1: Strided((16 + at, 1), 4)})
    result = _run(strided, source, result)
    np.testing.assert_array_equal(result[:, :8], 2 * source[:, :8])
    assert not result[:, 8:].any()


def test_what_is_matched_with_another_buffer_is_not_indexed() -> None:
    assert indexed_parameters(_passed_on) == {1}
