"""Rows: which tails are peeled, which widths are offered, how rows are shared among the cores."""

from __future__ import annotations

import numpy as np
import pytest
import tvm

from flextune.platforms.x86.code_generation import compile_module
from flextune.platforms.x86.rules import generate_space
from flextune.schedule.apply import apply_trace
from flextune.schedule.rewriting_steps import PeelTail
from flextune.schedule.space import SearchSpace
from flextune.target.detect import detect
from flextune.target.target import Target
from flextune.workload import parse_workload

TARGET = Target.parse("x86:cpu=haswell,cores=4,features=avx2,l1=32768,l2=1048576,l3=33554432")


def space_of(text: str) -> SearchSpace:
    space = generate_space(parse_workload(text), TARGET)
    assert space.rules == ("rows",)
    return space


def peeled(space: SearchSpace) -> list[str]:
    return [step.block for step in space.trace.steps if isinstance(step, PeelTail)]


@pytest.mark.parametrize(
    ("cols", "tails"),
    [(64, False), (37, True), (12, False), (8, False), (1001, True), (1004, True), (60, False)],
)
def test_tails(cols: int, tails: bool) -> None:
    """Half vectors (4 lanes) serve short rows; long rows are worth whole ones and a tail."""
    assert peeled(space_of(f"softmax:rows=16,cols={cols}")) == (["row_max", "row_sum"] if tails else [])


def test_widths_divide_the_whole_part() -> None:
    space = space_of("reduce:op=sum,m=16,n=101")
    widths = space.solutions.marginal("lanes_sum_main")
    assert set(widths) == {4, 8, 16, 32}
    assert all(96 % width == 0 for width in widths)


def test_a_short_prime_row_is_one_vector() -> None:
    space = space_of("layer_norm:rows=24,cols=11")
    assert all(
        set(space.solutions.marginal(name)) <= {3, 8, 4, 11} for name in space.default if name.startswith("lanes")
    )


def test_every_core_gets_rows() -> None:
    space = space_of("softmax:rows=24,cols=640")
    assert set(space.solutions.marginal("rows_per_task")) == {1, 2, 4}
    assert set(space_of("softmax:rows=3,cols=6400").solutions.marginal("rows_per_task")) == {1}


def test_one_core_takes_all_rows_of_a_small_kernel() -> None:
    space = space_of("softmax:rows=12,cols=16")
    assert set(space.solutions.marginal("rows_per_task")) == {1, 2, 4, 12}
    assert space.default["rows_per_task"] == 12


def test_the_default_keeps_every_core_busy() -> None:
    space = space_of("softmax:rows=96,cols=640")
    assert (96 // space.default["rows_per_task"]) % TARGET.cores == 0


@pytest.mark.parametrize("text", ["softmax:rows=16,cols=64", "softmax:rows=16,cols=37", "layer_norm:rows=16,cols=768"])
def test_partial_results_are_vectors(text: str) -> None:
    """One vector over all lanes, not one of length one in a loop over the lanes."""
    space = space_of(text)
    script = apply_trace(space.workload, space.trace, space.default).module.script()
    lanes = {value for name, value in space.default.items() if name.startswith("lanes")}
    assert all(f"T.vectorized({width})" in script for width in lanes)
    assert "T.vectorized(1)" not in script


@pytest.mark.parametrize("cols", [8, 16, 25, 197])
@pytest.mark.parametrize("rows", [1, 7])
def test_softmax_of_odd_rows(rows: int, cols: int) -> None:
    workload = parse_workload(f"softmax:rows={rows},cols={cols}")
    target = detect()
    space = generate_space(workload, target)
    data = np.random.default_rng(cols).normal(0, 3, (rows, cols)).astype(np.float32)
    data[0, 1], data[-1, cols - 1] = -np.inf, 80.0
    result = tvm.runtime.empty((rows, cols), "float32")
    program = apply_trace(workload, space.trace, space.default)
    compile_module(program.module, target)["main"](tvm.runtime.tensor(data), result)
    exact = np.exp(data.astype(np.float64) - data.max(axis=1, keepdims=True))
    np.testing.assert_allclose(result.numpy(), exact / exact.sum(axis=1, keepdims=True), rtol=2e-6, atol=1e-30)
