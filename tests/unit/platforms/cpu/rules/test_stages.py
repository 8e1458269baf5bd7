"""Data stages of register tiles: every place and width computes the same, and the default weighs their cost."""

from __future__ import annotations

import numpy as np
import pytest
from tvm import te, topi

from flextune.analysis.blocks import read_program
from flextune.csp import In
from flextune.lowering.precision.narrow import narrow_function
from flextune.platforms.cpu.limits import CpuLimits
from flextune.platforms.cpu.rules.anchor import choose_anchor
from flextune.platforms.cpu.rules.stage_estimate import stage_cycles
from flextune.platforms.cpu.rules.tile_geometry import TileGeometry
from flextune.platforms.x86.rules import generate_space
from flextune.target.target import Target
from flextune.testing.programs import MemberCheck
from flextune.workload import from_prim_func, parse_workload
from flextune.workload.workload import Workload

TARGET = Target.parse("x86:cpu=znver4,cores=2,features=avx512,l1=32768,l2=1048576,l3=33554432")
WORKLOADS = (
    "depthwise:h=9,w=8,c=24,kh=3,kw=3,pad=1,layout=nhwc,weights=constant,epilogue=bias+relu",
    "depthwise:h=9,w=8,c=17,kh=5,kw=5,pad=2,stride=2,layout=nhwc",
    "depthwise:h=9,w=8,c=136,kh=3,kw=3,pad=2,dilation=2,layout=nhwc",
    "pool2d:kind=max,h=9,w=9,c=24,kh=3,kw=3,stride=2,pad=1,layout=nhwc",
    "pool2d:kind=avg,h=9,w=9,c=68,kh=3,kw=3,stride=2,pad=1,layout=nhwc",
    "conv2d:h=9,w=8,ci=3,co=20,kh=3,kw=3,stride=2,pad=1,layout=nhwc,weights=constant",
    "conv2d:h=9,w=8,ci=8,co=12,kh=3,kw=3,pad=1,layout=nhwc,weights=constant",
    "conv2d:h=9,w=8,ci=5,co=12,kh=3,kw=3,pad=1",
)


@pytest.mark.parametrize("place", [0, 1])
@pytest.mark.parametrize("text", WORKLOADS)
def test_stages_compute_the_same_at_every_place(text: str, place: int, host: Target) -> None:
    space = generate_space(parse_workload(text), host)
    check_member = MemberCheck(space)
    there = space.solutions.restrict([In("at_pad", (place,), name="place", rule="test")])
    for member in there.sample(np.random.default_rng(3), 3):
        assert check_member.error(member) == ""


@pytest.mark.parametrize(
    "text",
    [
        "depthwise:h=112,w=112,c=96,kh=3,kw=3,stride=2,pad=1,layout=nhwc,weights=constant",
        "pool2d:kind=max,h=112,w=112,c=24,kh=3,kw=3,stride=2,pad=1,layout=nhwc",
    ],
)
def test_an_image_that_leaves_the_caches_is_padded_by_each_task(text: str) -> None:
    default = generate_space(parse_workload(text), TARGET).default
    assert default["at_pad"] == 1
    assert default["tasks"] > TARGET.cores


def rounded_product(queries: int, transposed: bool) -> Workload:
    """Rows of x times y, or its transpose, both float32 and rounded to bfloat16 for the product."""
    x = te.placeholder((2, queries, 36), name="x")
    y = te.placeholder((2, 44, 36) if transposed else (2, 36, 44), name="y")
    result = topi.nn.batch_matmul(x, y, transpose_b=transposed)
    narrowed = narrow_function(te.create_prim_func([x, y, result]), (), ())
    assert narrowed is not None
    return from_prim_func(narrowed.function, "batch_matmul")


@pytest.mark.hardware("bf16")
@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize("place", [0, 1])
def test_a_packed_operand_is_rounded_before_or_as_it_is_packed(transposed: bool, place: int, host: Target) -> None:
    space = generate_space(rounded_product(24, transposed), host)
    assert "bf16_pairs" in space.trace.to_json()
    check_member = MemberCheck(space)
    names = [name for name in space.default if name.startswith("at_")]
    there = space.solutions.restrict([In(name, (place,), name=name, rule="test") for name in names])
    for member in there.sample(np.random.default_rng(3), 3):
        assert check_member.error(member) == ""


@pytest.mark.hardware("bf16")
def test_an_operand_that_is_read_once_is_not_packed_for_dot_products(host: Target) -> None:
    space = generate_space(rounded_product(1, transposed=False), host)
    assert space.rules == ("register-tile",)
    assert "bf16_pairs" not in space.trace.to_json()
    assert MemberCheck(space).error(space.default) == ""


def test_cycles_count_what_tasks_read_twice() -> None:
    """A grid over output channels pads the image once per task; one over rows adds the halo of the window."""
    workload = parse_workload("conv2d:h=16,w=16,ci=16,co=64,kh=3,kw=3,pad=1,layout=nhwc,weights=constant")
    program = read_program(workload.prim_func())
    assert program is not None
    limits = CpuLimits.of(TARGET, 32)
    facts = next(block for block in program.blocks if block.factors)
    anchor = choose_anchor(program, facts, limits, workload.constants)
    assert anchor is not None
    tile = TileGeometry(program, anchor, limits)
    columns = {name: np.ones(3, np.int64) for name in ("vectors", "grid_oh", "grid_ow", "grid_co", "at_pad")}
    columns["grid_co"] = np.array([1, 4, 1])
    columns["grid_oh"] = np.array([1, 1, 4])
    once, by_channels, by_rows = stage_cycles(tile, tile.stages[0], columns)
    assert by_channels == pytest.approx(4 * once)
    assert by_rows < by_channels
