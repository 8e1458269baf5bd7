"""Restaged programs compute what they did: padding, packing and accumulating change no element."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tvm

from flextune.analysis.blocks import read_program
from flextune.analysis.program_facts import BlockFacts
from flextune.errors import ScheduleError
from flextune.schedule.apply import ScheduledProgram
from flextune.schedule.packing import PackedAxes
from flextune.schedule.restage import Restaged, restage
from flextune.schedule.stage_names import data_block_name, pack_block_name, store_block_name
from flextune.target.target import Target
from flextune.testing.programs import run_program
from flextune.workload import Workload, parse_workload

GEMMS = ("gemm:m=7,n=10,k=6", "gemm:m=7,n=10,k=6,ta=1", "gemm:m=7,n=10,k=6,tb=1", "gemm:m=7,n=10,k=6,ta=1,tb=1")


def contraction(workload: Workload) -> BlockFacts:
    program = read_program(workload.prim_func())
    assert program is not None
    return next(block for block in program.blocks if block.factors)


def axis_names(facts: BlockFacts) -> tuple[list[str], list[str]]:
    return [it.name for it in facts.spatial], [it.name for it in facts.reduce]


def check(workload: Workload, result: Restaged, host: Target) -> None:
    """The restaged program equals the reference; integers exactly, floats within the workload's tolerance."""
    packs = (result.packed,) if result.packed is not None else ()
    inputs = workload.random_inputs(3)
    references = workload.reference(inputs)
    outputs = run_program(ScheduledProgram(tvm.IRModule({"main": result.function}), packs), host, inputs, references)
    for output, reference in zip(outputs, references, strict=True):
        assert workload.tolerance().excess(output, reference) <= 1


def block_names(function: Any) -> list[str]:
    program = read_program(function)
    assert program is not None
    return [block.name for block in program.blocks]


@pytest.mark.parametrize("text", GEMMS)
@pytest.mark.parametrize("tiles", [{}, {"i": 3, "j": 4}, {"i": 16, "j": 10}])
def test_tiles_that_do_not_divide(text: str, tiles: dict[str, int], host: Target) -> None:
    workload = parse_workload(text)
    facts = contraction(workload)
    (i, j), _ = axis_names(facts)
    named = {{"i": i, "j": j}[axis]: tile for axis, tile in tiles.items()}
    check(workload, restage(workload.prim_func(), facts.name, named, j, None, (), False), host)


@pytest.mark.parametrize("constants", [(), (1,)])
@pytest.mark.parametrize("text", ["gemm:m=7,n=10,k=6", "conv2d:h=9,w=7,ci=3,co=6,kh=3,kw=3,pad=1,layout=nhwc"])
def test_a_partial_group_is_filled_with_zeros(text: str, constants: tuple[int, ...], host: Target) -> None:
    workload = parse_workload(text)
    facts = contraction(workload)
    spatial, reduce = axis_names(facts)
    pack = PackedAxes(1, (spatial[-1], *reduce), spatial[-1], 4, 4)
    result = restage(
        workload.prim_func(), facts.name, {spatial[-2]: 2, spatial[-1]: 4}, spatial[-1], pack, constants, False
    )
    check(workload, result, host)
    copies = [name for name in block_names(result.function) if name == data_block_name(facts.name)]
    assert len(copies) == ("pad" not in text)  # the stage that pads the image fills the groups too


@pytest.mark.parametrize("vector", [0, 1])
def test_either_axis_can_be_the_vector(vector: int, host: Target) -> None:
    workload = parse_workload(GEMMS[0])
    facts = contraction(workload)
    axes, _ = axis_names(facts)
    result = restage(workload.prim_func(), facts.name, {axes[0]: 4, axes[1]: 4}, axes[vector], None, (), False)
    check(workload, result, host)
    program = read_program(result.function)
    assert program is not None
    assert program.block(facts.name).output.shape == ((8, 12), (12, 8))[1 - vector]


@pytest.mark.parametrize(
    ("text", "dtype"),
    [(GEMMS[0], "float32"), (GEMMS[1], "uint8"), (GEMMS[2], "uint8"), (GEMMS[2], "bfloat16"), (GEMMS[3], "float32")],
)
@pytest.mark.parametrize(("tile", "group"), [(4, 1), (5, 1), (16, 2)])
@pytest.mark.parametrize("constant", [False, True])
def test_packed_operand(text: str, dtype: str, tile: int, group: int, constant: bool, host: Target) -> None:
    weights = ",weights=constant" if constant else ""
    workload = parse_workload(f"{text},dtype={dtype}{weights}")
    facts = contraction(workload)
    (i, j), (k,) = axis_names(facts)
    pack = PackedAxes(1, (j, k), j, tile, group)
    result = restage(workload.prim_func(), facts.name, {i: 3, j: tile}, j, pack, workload.constants, False)
    check(workload, result, host)
    assert (result.packed is not None) == constant
    assert (pack_block_name(facts.name) in block_names(result.function)) == (not constant)
    if result.packed is not None:
        assert result.packed.index == 1
        assert result.packed.shape == (-(-10 // tile), 6 // group, tile, *((group,) if group > 1 else ()))


def test_packing_a_constant_equals_packing_in_the_kernel(host: Target) -> None:
    """The kernel's own packing block, run alone, writes what `PackedInput.pack` makes of the same array."""
    given, fixed = (parse_workload(f"gemm:m=4,n=10,k=6,tb=1,weights={w}") for w in ("input", "constant"))
    facts = contraction(given)
    (_, j), (k,) = axis_names(facts)
    pack = PackedAxes(1, (j, k), j, 4, 2)
    inside = restage(given.prim_func(), facts.name, {j: 4}, j, pack, (), False)
    outside = restage(fixed.prim_func(), facts.name, {j: 4}, j, pack, fixed.constants, False).packed
    assert outside is not None
    weight = given.random_inputs(0)[1]
    expected = outside.pack(weight)
    program = read_program(inside.function)
    assert program is not None
    packing = program.block(pack_block_name(facts.name))
    source, packed = packing.block.reads[0].source, packing.block.writes[0].source
    root = inside.function.body.block
    nest = root.body[program.blocks.index(packing)]
    block = tvm.s_tir.SBlock([], [], [], "root", nest)
    alone = tvm.tirx.PrimFunc([source, packed], tvm.s_tir.SBlockRealize([], True, block))
    (got,) = run_program(
        ScheduledProgram(tvm.IRModule({"main": alone.with_attr("global_symbol", "main")})), host, [weight], [expected]
    )
    np.testing.assert_array_equal(got, expected)
    assert expected.shape == (3, 3, 4, 2)
    assert not expected[-1, :, 2:].any()  # beyond the ten true columns


def test_packed_groups_hold_neighbours_along_the_reduction() -> None:
    workload = parse_workload("gemm:m=4,n=4,k=4,weights=constant")
    facts = contraction(workload)
    (_, j), (k,) = axis_names(facts)
    packed = restage(
        workload.prim_func(), facts.name, {j: 4}, j, PackedAxes(1, (j, k), j, 4, 2), workload.constants, False
    ).packed
    assert packed is not None
    weight = np.arange(16, dtype=np.float32).reshape(4, 4)
    np.testing.assert_array_equal(packed.pack(weight)[0, 0], weight[:2].T)


def test_batches_are_packed_outside(host: Target) -> None:
    workload = parse_workload("bmm:b=3,m=5,n=6,k=4,tb=1")
    facts = contraction(workload)
    (b, i, j), (k,) = axis_names(facts)
    result = restage(workload.prim_func(), facts.name, {i: 2, j: 4}, j, PackedAxes(1, (b, j, k), j, 4), (), False)
    check(workload, result, host)
    program = read_program(result.function)
    assert program is not None
    assert program.block(pack_block_name(facts.name)).output.shape == (3, 2, 4, 4)


@pytest.mark.parametrize("fuse", [False, True])
@pytest.mark.parametrize("epilogue", ["relu", "bias+relu", "bias+add"])
def test_epilogue_reads_the_accumulators(epilogue: str, fuse: bool, host: Target) -> None:
    workload = parse_workload(f"gemm:m=7,n=10,k=6,epilogue={epilogue}")
    facts = contraction(workload)
    (i, j), (k,) = axis_names(facts)
    pack = PackedAxes(1, (j, k), j, 8)
    result = restage(workload.prim_func(), facts.name, {i: 4, j: 8}, j, pack, (), fuse)
    check(workload, result, host)
    assert (store_block_name(facts.name) in block_names(result.function)) == (not fuse)


@pytest.mark.parametrize("layout", ["nchw", "nhwc"])
@pytest.mark.parametrize("rest", ["pad=1", "pad=0x1x2x0,stride=2", "pad=2,dilation=2", "stride=2x1"])
@pytest.mark.parametrize("vector", [1, 3])
def test_convolution_with_padded_stage(layout: str, rest: str, vector: int, host: Target) -> None:
    """Tiles beyond the image read a stage that is extended, or clamped indices where there is none."""
    workload = parse_workload(f"conv2d:h=9,w=8,ci=3,co=5,kh=3,kw=3,layout={layout},{rest},epilogue=bias")
    facts = contraction(workload)
    axes, _ = axis_names(facts)
    tiles = {axes[1]: 4, axes[2]: 3, axes[3]: 4}
    check(workload, restage(workload.prim_func(), facts.name, tiles, axes[vector], None, (), True), host)


@pytest.mark.parametrize("constant", [False, True])
@pytest.mark.parametrize("groups", [1, 2, 4])
def test_packed_convolution_weights(groups: int, constant: bool, host: Target) -> None:
    weights = "constant" if constant else "input"
    workload = parse_workload(f"conv2d:h=6,w=6,ci=8,co=8,kh=3,kw=2,pad=1,groups={groups},layout=nhwc,weights={weights}")
    facts = contraction(workload)
    axes, reduce = axis_names(facts)
    weight = facts.factors[1].plain_axes()
    assert weight is not None
    used = [axis for axis in reduce if axis in weight]
    pack = PackedAxes(1, (axes[3], *used), axes[3], 2)
    tiles = {axes[2]: 4, axes[3]: 2}
    check(workload, restage(workload.prim_func(), facts.name, tiles, axes[3], pack, workload.constants, False), host)


def test_a_reduction_that_is_no_product(host: Target) -> None:
    workload = parse_workload("pool2d:kind=max,h=7,w=7,c=5,kh=2,kw=2,layout=nhwc")
    program = read_program(workload.prim_func())
    assert program is not None
    (facts,) = program.blocks
    axes, _ = axis_names(facts)
    check(workload, restage(workload.prim_func(), facts.name, {axes[2]: 4, axes[3]: 4}, axes[3], None, (), False), host)


@pytest.mark.parametrize(
    ("block", "tiles", "vector", "pack", "message"),
    [
        ("gem", {}, "j", None, "no such plain block"),
        ("gemm", {}, "k", None, "no spatial iterator 'k'"),
        ("gemm", {"x": 2}, "j", None, "no spatial iterator 'x'"),
        ("gemm", {"i": 0}, "j", None, "tile of 'i' is 0"),
        ("relu", {}, "i0", None, "no reduction"),
        ("gemm", {}, "j", PackedAxes(2, ("j", "k"), "j", 1), "none has index 2"),
        ("gemm", {}, "j", PackedAxes(-1, ("j", "k"), "j", 1), "none has index -1"),
        ("gemm", {}, "j", PackedAxes(1, ("k",), "j", 1), "must be distinct and hold 'j'"),
        ("gemm", {}, "j", PackedAxes(1, ("j", "z"), "j", 1), "does not have all iterators"),
        ("gemm", {}, "j", PackedAxes(1, ("j", "i", "k"), "j", 1), "not indexed by plain iterators"),
        ("gemm", {}, "j", PackedAxes(1, ("k", "j"), "j", 1, 4), "groups of 4"),
        ("gemm", {}, "j", PackedAxes(1, ("k", "j"), "j", 1, 2), "groups of 2"),
        ("gemm", {"j": 6}, "j", PackedAxes(1, ("j", "k"), "j", 4), "panels of 4"),
    ],
)
def test_illegal_restages(
    block: str, tiles: dict[str, int], vector: str, pack: PackedAxes | None, message: str
) -> None:
    function = parse_workload("gemm:m=4,n=4,k=6,epilogue=relu").prim_func()
    with pytest.raises(ScheduleError) as error:
        restage(function, block, tiles, vector, pack, (), False)
    assert message in str(error.value)


def test_a_program_of_another_form() -> None:
    function = parse_workload("gemm:m=4,n=4,k=6").prim_func().with_attr("a", 1)
    nested = restage(function, "gemm", {}, "j", None, (), False).function
    with pytest.raises(ScheduleError, match="no such plain block"):
        restage(nested, "gemm_pack", {}, "j", None, (), False)
