"""Contractions in groups: the rewritten program computes what it did, and so does every schedule of it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tvm
from tvm import te

from flextune.analysis.blocks import read_program
from flextune.errors import ScheduleError
from flextune.platforms.cpu.rules.groups import grouped_axis
from flextune.platforms.x86.rules import generate_space
from flextune.schedule.apply import ScheduledProgram
from flextune.schedule.groups import group_axis, joined_block_name, split_groups
from flextune.schedule.rewriting_steps import SplitGroups
from flextune.schedule.steps import Tensorize
from flextune.schedule.trace import Trace
from flextune.target.target import Target
from flextune.testing.programs import MemberCheck, run_program
from flextune.workload import Workload, from_prim_func, parse_workload


def convolution(groups: int, ci: int, co: int, rest: str = "", layout: str = "nhwc") -> Workload:
    """`ci` and `co` per group."""
    sizes = f"h=6,w=5,ci={groups * ci},co={groups * co},groups={groups},layout={layout}"
    return parse_workload(f"conv2d:{sizes},{rest or 'kh=1,kw=1'}")


def check(workload: Workload, result: Any, host: Target) -> None:
    inputs = workload.random_inputs(3)
    references = workload.reference(inputs)
    program = ScheduledProgram(tvm.IRModule({"main": result.function}), result.viewed)
    for output, reference in zip(run_program(program, host, inputs, references), references, strict=True):
        assert workload.tolerance().excess(output, reference) <= 1


@pytest.mark.parametrize("layout", ["nhwc", "nchw"])
@pytest.mark.parametrize("weights", ["input", "constant"])
@pytest.mark.parametrize(("groups", "ci", "co"), [(2, 3, 5), (3, 1, 17), (4, 17, 34), (8, 2, 3)])
def test_split_groups_compute_the_same(groups: int, ci: int, co: int, weights: str, layout: str, host: Target) -> None:
    workload = convolution(groups, ci, co, f"kh=3,kw=3,pad=1,epilogue=bias+relu,weights={weights}", layout)
    program = read_program(workload.prim_func())
    assert program is not None
    block = next(b for b in program.blocks if b.factors)
    found = grouped_axis(block)
    assert found is not None
    assert found[1] == co
    result = split_groups(workload.prim_func(), block.name, *found, workload.constants)
    check(workload, result, host)
    rewritten = read_program(result.function)
    assert rewritten is not None
    facts = rewritten.block(block.name)
    assert (facts.extent(group_axis(found[0])), facts.extent(found[0])) == (groups, co)
    assert all(access.uniform_within(found[0]) is None for access in facts.operands)
    assert len(result.viewed) == (weights == "constant")


def test_what_reads_the_result_otherwise_gets_it_joined(host: Target) -> None:
    """A sum over all channels does not see the groups; a function without a consumer writes what it did."""
    workload = convolution(2, 3, 5)
    program = read_program(workload.prim_func())
    assert program is not None
    block = next(b for b in program.blocks if b.factors)
    result = split_groups(workload.prim_func(), block.name, *(grouped_axis(block) or ("", 0)), ())
    check(workload, result, host)
    names = [b.name for b in (read_program(result.function) or program).blocks]
    assert names[-1] == joined_block_name(block.output.name)
    summed, reference = sum_of_channels()
    program = read_program(summed)
    assert program is not None
    result = split_groups(summed, "grouped", "j", 3, ())
    data = np.random.default_rng(0).uniform(-1, 1, (4, 4)).astype(np.float32)
    weight = np.random.default_rng(1).uniform(-1, 1, (2, 6)).astype(np.float32)
    expected = reference(data, weight)
    got = run_program(ScheduledProgram(tvm.IRModule({"main": result.function})), host, [data, weight], [expected])
    np.testing.assert_allclose(got[0], expected, rtol=1e-5)


def sum_of_channels() -> tuple[Any, Any]:
    a, w = te.placeholder((4, 4), "float32", name="a"), te.placeholder((2, 6), "float32", name="w")
    k, c = te.reduce_axis((0, 2), "k"), te.reduce_axis((0, 6), "c")
    product = te.compute((4, 6), lambda i, j: te.sum(a[i, j // 3 * 2 + k] * w[k, j], k), name="grouped")
    total = te.compute((4,), lambda i: te.sum(product[i, c] * product[i, 5 - c], c), name="total")

    def reference(data: np.ndarray, weight: np.ndarray) -> np.ndarray:
        halves = [data[:, 2 * g : 2 * g + 2] @ weight[:, 3 * g : 3 * g + 3] for g in range(2)]
        joined = np.concatenate(halves, axis=1)
        return np.asarray((joined * joined[:, ::-1]).sum(axis=1))

    return te.create_prim_func([a, w, total]).with_attr("global_symbol", "main"), reference


def test_an_axis_that_is_none_of_such_groups_is_refused() -> None:
    workload = convolution(2, 3, 5)
    program = read_program(workload.prim_func())
    assert program is not None
    block = next(b.name for b in program.blocks if b.factors)
    for name, axis, size in (("nothing", "co", 5), (block, "rc", 3), (block, "co", 4)):
        with pytest.raises(ScheduleError, match="cannot split"):
            split_groups(workload.prim_func(), name, axis, size, ())


@pytest.mark.parametrize(
    "workload",
    [
        convolution(4, 17, 34, "kh=1,kw=1,epilogue=bias+relu,weights=constant"),
        convolution(4, 68, 68, "kh=1,kw=1,epilogue=bias"),
        convolution(2, 136, 136, "kh=1,kw=1,weights=constant"),
        convolution(8, 5, 17, "kh=5,kw=5,pad=2,stride=2,epilogue=bias+relu,weights=constant"),
        convolution(3, 3, 19, "kh=3,kw=3,pad=2,dilation=2,weights=constant"),
        convolution(2, 17, 34, "kh=3,kw=3,pad=1,epilogue=bias", "nchw"),
        convolution(2, 17, 34, "kh=3,kw=3,pad=1,epilogue=bias,dtype=uint8,weights=constant"),
        convolution(2, 17, 34, "kh=3,kw=3,pad=1,dtype=bfloat16,weights=constant"),
    ],
    ids=str,
)
def test_members_of_spaces_with_groups(workload: Workload, host: Target) -> None:
    space = generate_space(workload, host)
    assert any(isinstance(step, SplitGroups) for step in space.trace.steps)
    assert Trace.from_json(space.trace.to_json()) == space.trace
    check_member = MemberCheck(space)
    for member in (space.default, *space.solutions.sample(np.random.default_rng(2), 3)):
        assert check_member.error(member) == ""


@pytest.mark.parametrize(("groups", "ci", "co"), [(2, 1, 1), (8, 3, 3), (4, 5, 5), (2, 48, 128), (4, 6, 28)])
def test_groups_that_vectors_fill_stay_as_they_are(groups: int, ci: int, co: int, host: Target) -> None:
    space = generate_space(convolution(groups, ci, co, "kh=3,kw=3,pad=1,weights=constant"), host)
    assert not any(isinstance(step, SplitGroups) for step in space.trace.steps)
    check_member = MemberCheck(space)
    for member in (space.default, *space.solutions.sample(np.random.default_rng(2), 2)):
        assert check_member.error(member) == ""


@pytest.mark.hardware("bf16")
@pytest.mark.parametrize(("groups", "ci", "co"), [(4, 6, 28), (4, 17, 34), (2, 15, 60)])
def test_dot_products_of_groups_take_whole_vectors(groups: int, ci: int, co: int, host: Target) -> None:
    space = generate_space(convolution(groups, ci, co, "kh=1,kw=1,dtype=bfloat16,weights=constant"), host)
    kinds = {type(step) for step in space.trace.steps}
    assert {SplitGroups, Tensorize} <= kinds
    check_member = MemberCheck(space)
    for member in (space.default, *space.solutions.sample(np.random.default_rng(2), 2)):
        assert check_member.error(member) == ""


def test_a_program_of_several_blocks_after_the_convolution(host: Target) -> None:
    """As TVM's importer makes them: every operator a block of its own, inlined only after the groups are split."""
    a, w, b = (te.placeholder(s, "float32", name=n) for s, n in (((9, 12), "a"), ((3, 136), "w"), ((136,), "b")))
    k = te.reduce_axis((0, 3), "k")
    product = te.compute((9, 136), lambda i, j: te.sum(a[i, j // 34 * 3 + k] * w[k, j], k), name="grouped")
    biased = te.compute((9, 136), lambda i, j: product[i, j] + b[j], name="biased")
    scaled = te.compute((9, 136), lambda i, j: biased[i, j] * te.tanh(biased[i, j]), name="scaled")
    space = generate_space(from_prim_func(te.create_prim_func([a, w, b, scaled]), "grouped", (1,)), host)
    assert any(isinstance(step, SplitGroups) for step in space.trace.steps)
    check_member = MemberCheck(space)
    for member in (space.default, *space.solutions.sample(np.random.default_rng(2), 3)):
        assert check_member.error(member) == ""
