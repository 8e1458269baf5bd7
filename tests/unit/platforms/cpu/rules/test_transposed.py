"""Transposes in squares: which nests are taken, and that every member computes the same, tails included."""

from __future__ import annotations

import math

import numpy as np
import pytest
import tvm
from tvm import te

from flextune.analysis.blocks import read_program
from flextune.platforms.cpu.rules.transposed import TRANSPOSE_RULE, transposed_axis
from flextune.platforms.x86.code_generation import compile_executable
from flextune.platforms.x86.rules import generate_space
from flextune.schedule.apply import apply_trace
from flextune.target.detect import detect
from flextune.target.target import Target
from flextune.workload.tir import from_prim_func
from flextune.workload.workload import Workload

TARGET = Target.parse("x86:cpu=haswell,cores=4,features=avx2,l1=32768,l2=1048576,l3=33554432")


def transpose(shape: tuple[int, ...], order: tuple[int, ...]) -> Workload:
    x = te.placeholder(shape, "float32", "x")

    def element(*index: object) -> object:
        return x(*(index[order.index(axis)] for axis in range(len(shape))))

    y = te.compute([shape[axis] for axis in order], element, "y")
    return from_prim_func(te.create_prim_func([x, y]), "permute_dims", ())


@pytest.mark.parametrize(
    ("shape", "order", "axis"),
    [
        ((1, 9, 7, 24), (0, 3, 1, 2), 1),  # NHWC to NCHW: channels are innermost in what is read
        ((1, 24, 9, 7), (0, 2, 3, 1), 2),
        ((1, 9, 4, 24), (0, 2, 1, 3), None),  # the heads of attention: rows stay contiguous
        ((24, 1), (1, 0), None),
    ],
)
def test_which_nests_are_taken(shape: tuple[int, ...], order: tuple[int, ...], axis: int | None) -> None:
    program = read_program(transpose(shape, order).prim_func())
    assert program is not None
    across = transposed_axis(program.blocks[0])
    assert (across is None) == (axis is None)
    if across is not None:
        assert across is program.blocks[0].iterators[axis]
    assert (TRANSPOSE_RULE in generate_space(transpose(shape, order), TARGET).rules) == (axis is not None)


@pytest.mark.parametrize("extents", [(40, 24), (37, 19), (5, 3), (16, 7)])
def test_squares_have_no_tails_where_that_is_possible(extents: tuple[int, int]) -> None:
    for name, extent in zip(("lanes_y", "rows_y"), extents, strict=True):
        sizes = set(generate_space(transpose(extents, (1, 0)), TARGET).solutions.marginal(name))
        assert all(size <= extent for size in sizes)
        assert all(extent % size == 0 for size in sizes) or all(extent % size for size in (4, 8, 16))


def test_large_ones_are_shared_by_the_cores() -> None:
    assert "task_y" in generate_space(transpose((256, 512), (1, 0)), TARGET).default
    assert "task_y" not in generate_space(transpose((16, 16), (1, 0)), TARGET).default


@pytest.mark.parametrize(
    ("shape", "order"),
    [((1, 12, 14, 24), (0, 3, 1, 2)), ((2, 3, 13, 11), (0, 2, 3, 1)), ((37, 19), (1, 0)), ((150, 130), (1, 0))],
)
def test_every_kind_of_member_computes_the_same(shape: tuple[int, ...], order: tuple[int, ...]) -> None:
    workload, target = transpose(shape, order), detect()
    space = generate_space(workload, target)
    x = np.arange(math.prod(shape), dtype=np.float32).reshape(shape)
    others = space.solutions.sample(np.random.default_rng(0), 3)
    assert {member["vector_y"] for member in space.solutions.enumerate()} == {0, 1}
    for member in (space.default, *others):
        y = tvm.runtime.tensor(np.zeros([shape[axis] for axis in order], np.float32))
        program = apply_trace(workload, space.trace, member)
        compile_executable(program.module, target)["main"](tvm.runtime.tensor(x), y)
        np.testing.assert_array_equal(y.numpy(), x.transpose(order))
