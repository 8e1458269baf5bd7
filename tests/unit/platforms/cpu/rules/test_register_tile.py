"""The space of a register tile: every member within the limits, every legal tile a member."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from flextune.analysis.blocks import read_program
from flextune.platforms.cpu.limits import CpuLimits
from flextune.platforms.cpu.rules.anchor import choose_anchor
from flextune.platforms.cpu.rules.register_tile import apply_register_tile
from flextune.platforms.cpu.rules.tile_geometry import TileGeometry
from flextune.platforms.x86.intrinsics import VNNI
from flextune.schedule.space import Draft, SearchSpace
from flextune.target.target import Target
from flextune.workload import parse_workload

TARGET = Target.parse("x86:cpu=haswell,cores=2,features=avx2,l1=32768,l2=65536,l3=1048576")
LIMITS = CpuLimits.of(TARGET, 16)


def space_of(text: str, limits: CpuLimits = LIMITS) -> tuple[SearchSpace, TileGeometry]:
    workload = parse_workload(text)
    program = read_program(workload.prim_func())
    assert program is not None
    draft = Draft(workload.prim_func(), program, TARGET, workload.constants)
    facts = next(block for block in program.blocks if block.factors)
    anchor = choose_anchor(program, facts, limits, workload.constants)
    assert anchor is not None
    apply_register_tile(draft, anchor, limits)
    return draft.finish(workload), TileGeometry(program, anchor, limits)


@pytest.mark.parametrize(
    "text",
    [
        "gemm:m=12,n=24,k=8",
        "gemm:m=7,n=19,k=5",
        "gemm:m=14,n=48,k=96",
        "conv2d:h=5,w=6,ci=2,co=8,kh=3,kw=3,layout=nhwc",
    ],
)
def test_members_keep_the_limits(text: str) -> None:
    space, tile = space_of(text)
    members = list(space.solutions.enumerate())
    assert len(members) == space.solutions.count
    for member in members:
        panel = member["vectors"] * member["lanes"]
        rows = math.prod(member[f"tile_{axis}"] for axis in tile.row_axes)
        assert rows * member["vectors"] + member["vectors"] + 1 <= LIMITS.vector_registers
        extent = tile.extent(tile.vector)
        whole = {math.ceil(extent / lanes) * lanes for lanes in tile.lanes}
        assert math.ceil(extent / panel) * panel <= 1.25 * extent or panel in whole
        tiles = {tile.vector: panel, **{axis: member[f"tile_{axis}"] for axis in tile.row_axes}}
        grid = 1
        for axis in (*tile.outer_axes, tile.vector):
            count = math.ceil(tile.extent(axis) / tiles.get(axis, 1))
            assert member[f"cache_{axis}"] * member[f"grid_{axis}"] == count
            grid *= member[f"grid_{axis}"]
        assert grid >= 1 if tile.cycles <= 2000 else grid >= LIMITS.cores


@pytest.mark.parametrize(
    ("text", "vector", "rows"),
    [
        ("conv3d:d=3,h=4,w=16,ci=2,co=8,kd=3,kh=3,kw=3,pad=1", "ow", ("co", "oh")),
        ("conv3d:d=3,h=4,w=5,ci=2,co=16,kd=3,kh=3,kw=3,pad=1,layout=ndhwc", "co", ("oh", "ow")),
        ("conv2d:n=2,h=4,w=16,ci=2,co=8,kh=3,kw=3,pad=1", "ow", ("co", "oh")),
    ],
)
def test_rows_share_the_vectors_that_are_loaded(text: str, vector: str, rows: tuple[str, ...]) -> None:
    _, tile = space_of(text)
    assert (tile.vector, tile.row_axes) == (vector, rows)


@pytest.mark.parametrize("width", [28, 30, 56])
def test_by_default_vectors_of_ragged_rows_stay_in_registers(width: int) -> None:
    """They are loaded under a condition, once for all channels of the tile."""
    limits = CpuLimits.of(Target.parse("x86:cpu=znver4,cores=2,features=avx512,l1=32768,l2=1048576,l3=33554432"), 32)
    space, _ = space_of(f"conv2d:h={width},w={width},ci=64,co=64,kh=3,kw=3,pad=1", limits)
    tile = space.default
    assert width % (tile["vectors"] * tile["lanes"])
    loaded = tile["tile_oh"] * tile["vectors"]
    assert 10 <= tile["tile_co"] * loaded <= limits.vector_registers - loaded - 1


def test_every_tile_within_the_limits_is_a_member() -> None:
    space, tile = space_of("gemm:m=6,n=32,k=8")
    (row,) = tile.row_axes
    found = {(m[f"tile_{row}"], m["vectors"], m["lanes"]) for m in space.solutions.enumerate()}
    expected = set()
    for rows, vectors, lanes in itertools.product(range(1, 7), range(1, 17), (4, 8)):
        waste = max(math.ceil(6 / rows) * rows / 6, math.ceil(32 / (vectors * lanes)) * vectors * lanes / 32)
        tasks = math.ceil(6 / rows) * math.ceil(32 / (vectors * lanes))
        if waste <= 1.25 and rows * vectors + vectors + 1 <= 16 and tasks >= LIMITS.cores:
            expected.add((rows, vectors, lanes))
    assert found == expected


def test_panels_of_long_reductions_stay_in_cache() -> None:
    space, _ = space_of("gemm:m=64,n=64,k=1024")
    members = space.solutions.sample_distinct(np.random.default_rng(0), 200)
    for member in members:
        assert member["vectors"] * member["lanes"] * 1024 * 4 <= 65536 * 3 // 4
        assert "panel_bytes_in_l2" in {constraint.name for constraint in space.problem.constraints}


def test_a_reduction_beyond_every_cache_still_has_members() -> None:
    space, _ = space_of("gemm:m=4,n=64,k=1000000")
    assert space.solutions.count > 0


def test_every_constraint_says_why_or_what() -> None:
    space, _ = space_of("conv2d:h=9,w=9,ci=4,co=16,kh=3,kw=3,pad=1,layout=nhwc,epilogue=bias")
    for constraint in space.problem.constraints:
        assert constraint.name
        assert constraint.rule == "register-tile"
    limits = [c for c in space.problem.constraints if c.name.endswith(("_limit", "_waste", "_in_l2", "_parallel"))]
    assert len(limits) >= 3
    assert all(c.reason for c in limits)


def test_choices_follow_from_the_program() -> None:
    plain, _ = space_of("gemm:m=16,n=32,k=8")
    assert {"pack", "unroll", "grid_order", "cache_order"} <= set(plain.default)
    transposed, _ = space_of("gemm:m=16,n=32,k=8,tb=1")
    assert "pack" not in transposed.default
    staged, _ = space_of("conv2d:h=8,w=8,ci=4,co=16,kh=3,kw=3,pad=1,layout=nhwc")
    assert "at_pad" in staged.default
    single, _ = space_of("gemm:m=1,n=32,k=8")
    assert not {"grid_order", "cache_order"} & set(single.default)


def test_an_unpacked_operand_has_no_tail() -> None:
    space, _ = space_of("gemm:m=16,n=40,k=8")
    unpacked = [m for m in space.solutions.enumerate() if m["pack"] == 0]
    assert unpacked
    assert all(40 % (m["vectors"] * m["lanes"]) == 0 for m in unpacked)
    assert any(40 % (m["vectors"] * m["lanes"]) for m in space.solutions.enumerate() if m["pack"])


def test_an_intrinsic_fixes_the_lanes() -> None:
    limits = CpuLimits(512, 32, 32768, 1 << 20, 32 << 20, 2, (VNNI,))
    space, tile = space_of("gemm:m=16,n=40,k=8,dtype=uint8", limits)
    assert tile.lanes == (16,)
    assert tile.group == 4
    assert {m["unroll"] for m in space.solutions.enumerate()} == {1, 2}  # two groups along the reduction


def test_the_default_uses_registers_and_cores() -> None:
    space, tile = space_of("gemm:m=240,n=256,k=256")
    rows = math.prod(space.default[f"tile_{axis}"] for axis in tile.row_axes)
    assert rows * space.default["vectors"] >= 8
    assert space.default["lanes"] == 8
    assert math.prod(space.default[f"grid_{axis}"] for axis in (*tile.outer_axes, tile.vector)) % LIMITS.cores == 0


@pytest.mark.parametrize("text", ["gemm:m=1024,n=256,k=3", "gemm:m=1000,n=250,k=3", "gemm:m=4096,n=96,k=2"])
def test_by_default_cores_write_rows_of_their_own_where_sums_are_short(text: str) -> None:
    """Where two cores wrote into the same pages, this took three to four times as long."""
    limits = CpuLimits(512, 32, 49152, 2 << 20, 480 << 20, 2, ())
    space, tile = space_of(text, limits)
    rows = math.prod(space.default[f"grid_{axis}"] for axis in tile.outer_axes)
    assert rows % limits.cores == 0
    assert space.default[f"grid_{tile.vector}"] == 1 or space.default["grid_order"] == 0
