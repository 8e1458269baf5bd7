from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tvm
from tvm import te, topi

from flextune.analysis.blocks import read_program
from flextune.lowering.copies import remove_copies, without_copies


def blocks(function: Any) -> list[str]:
    program = read_program(function)
    assert program is not None
    return [block.name for block in program.blocks]


def run(function: Any, *arrays: np.ndarray) -> np.ndarray:
    kernel = tvm.compile(function, target=tvm.target.Target({"kind": "llvm"})).jit()
    result = function.params[-1].ty
    out = tvm.runtime.tensor(np.zeros([int(size) for size in result.shape], str(result.dtype)))
    kernel["main"](*map(tvm.runtime.tensor, arrays), out)
    return np.asarray(out.numpy())


def convolution(padding: int) -> Any:
    x, w = te.placeholder((1, 5, 6, 4), name="x"), te.placeholder((1, 1, 4, 8), name="w")
    y = topi.nn.conv2d_nhwc(x, w, stride=1, padding=padding, dilation=1)
    return te.create_prim_func([x, w, topi.nn.relu(y)])


def test_padding_by_nothing_is_no_work() -> None:
    function = convolution(0)
    changed = without_copies(function)
    assert blocks(function)[0] == "pad_temp"
    assert blocks(changed) == blocks(function)[1:]
    rng = np.random.default_rng(0)
    arrays = [rng.standard_normal(shape).astype(np.float32) for shape in ((1, 5, 6, 4), (1, 1, 4, 8))]
    np.testing.assert_array_equal(run(changed, *arrays), run(function, *arrays))


def test_real_padding_stays() -> None:
    function = convolution(1)
    assert without_copies(function).same_as(function)


def test_copies_of_copies() -> None:
    x = te.placeholder((4, 1), name="x")
    once = te.compute((4, 1), lambda i, j: x[i, j], name="once")
    twice = te.compute((4, 1), lambda i, j: once[i, 0], name="twice")
    function = te.create_prim_func([x, te.compute((4, 1), lambda i, j: twice[i, j] + 1, name="y")])
    assert blocks(without_copies(function)) == ["y"]


@pytest.mark.parametrize("element", [lambda x, i, j: x[j, i], lambda x, i, j: x[i, 0], lambda x, i, j: x[i, j] + 0.5])
def test_what_moves_or_computes_is_no_copy(element: Any) -> None:
    x = te.placeholder((4, 4), name="x")
    first = te.compute((4, 4), lambda i, j: element(x, i, j), name="first")
    function = te.create_prim_func([x, te.compute((4, 4), lambda i, j: first[i, j] * 2, name="y")])
    assert without_copies(function).same_as(function)


def test_a_function_that_only_copies_stays() -> None:
    x = te.placeholder((4,), name="x")
    function = te.create_prim_func([x, te.compute((4,), lambda i: x[i], name="y")])
    assert without_copies(function).same_as(function)


def test_all_functions_of_a_module() -> None:
    module = remove_copies(tvm.IRModule({"a": convolution(0), "b": convolution(1)}))
    assert len(blocks(module["a"])) == len(blocks(module["b"])) - 1
