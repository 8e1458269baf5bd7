"""Separable convolutions in one kernel: members compute the same, limits have reasons, and the default is sensible."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from flextune.analysis.blocks import read_program
from flextune.csp import In
from flextune.importing.model import load_model
from flextune.plan.alternative import FUSED
from flextune.plan.group_kernels import group_kernels
from flextune.plan.partition import partition_model
from flextune.platforms.cpu.rules.separable import RULE
from flextune.platforms.cpu.rules.separable_pair import find_pair
from flextune.platforms.x86.rules import generate_space
from flextune.schedule.space import SearchSpace
from flextune.schedule.trace import Trace
from flextune.target.target import Target
from flextune.testing.models import SeparableShape, separable_block
from flextune.testing.programs import MemberCheck
from flextune.workload import parse_workload
from flextune.workload.workload import Workload

TARGET = Target.parse("x86:cpu=znver4,cores=2,features=avx512,l1=32768,l2=1048576,l3=33554432")


def fused(shape: SeparableShape, folder: Path, activation: str = "relu6", plain: bool = False) -> Workload:
    """The kernel of both convolutions; without biases and residual sum if `plain`."""
    path = folder / "pair.onnx"
    proto = separable_block(shape, activation, bias=not plain, residual=not plain)
    path.write_bytes(proto.SerializeToString())
    groups = group_kernels(partition_model(load_model(path)))
    return next(group for group in groups if group.pattern == "separable").kernels[FUSED][0]


def space_of(shape: SeparableShape, folder: Path, target: Target = TARGET) -> SearchSpace:
    return generate_space(fused(shape, folder), target)


@pytest.mark.parametrize(
    ("shape", "activation", "plain"),
    [
        (SeparableShape(7, 9, 32, 16), "relu6", False),
        (SeparableShape(9, 7, 20, 19, taps=5, stride=2, pad=2, batch=2), "hardswish", False),
        (SeparableShape(6, 11, 17, 7, stride=2), "silu", False),
        (SeparableShape(8, 5, 40, 33, pad=0, batch=3), "", True),
        (SeparableShape(5, 6, 3, 4, taps=5, pad=2), "relu6", True),
        (SeparableShape(4, 4, 2, 2), "", False),
        (SeparableShape(1, 9, 24, 8), "relu6", False),
    ],
)
def test_the_default_and_random_members_compute_the_same(
    tmp_path: Path, host: Target, shape: SeparableShape, activation: str, plain: bool
) -> None:
    space = generate_space(fused(shape, tmp_path, activation, plain), host)
    assert space.rules[0] == RULE
    check_member = MemberCheck(space)
    for member in (space.default, *space.solutions.sample(np.random.default_rng(5), 3)):
        assert check_member.error(member) == ""


@pytest.mark.parametrize("place", [0, 1, 2])
def test_the_image_may_be_padded_at_once_by_tasks_or_by_vectors(tmp_path: Path, host: Target, place: int) -> None:
    space = space_of(SeparableShape(9, 8, 36, 24), tmp_path, host)
    padding = next(name for name in space.default if name.startswith("at_"))
    there = space.solutions.restrict([In(padding, (place,), name="place", rule="test")])
    check_member = MemberCheck(space)
    for member in there.sample(np.random.default_rng(1), 2):
        assert check_member.error(member) == ""


def test_the_window_is_an_element_wise_stage_of_every_task(tmp_path: Path) -> None:
    space = space_of(SeparableShape(14, 14, 96, 24), tmp_path)
    kinds = [step.kind for step in space.trace.steps]
    assert kinds.index("write_out") < kinds.index("restage") < kinds.index("compute_at")
    assert Trace.from_json(space.trace.to_json()) == space.trace


def test_what_a_task_keeps_stays_in_its_cache_and_pixels_are_computed_once(tmp_path: Path) -> None:
    space = space_of(SeparableShape(56, 56, 144, 24), tmp_path)
    reasons = {constraint.name: constraint.reason for constraint in space.problem.constraints}
    assert reasons["stage_bytes_in_l2"] == "what a task computes for the product stays in L2"
    assert "windows twice" in reasons["windows_once"]
    for member in space.solutions.sample(np.random.default_rng(0), 50):
        assert member["stage_bytes"] <= TARGET.number("l2") * 3 // 4
        assert member["grid_ff"] == 1


def test_the_default_pads_vector_by_vector_and_gives_every_core_work(tmp_path: Path) -> None:
    default = space_of(SeparableShape(28, 28, 192, 32), tmp_path).default
    padding = next(name for name in default if name.startswith("at_"))
    assert default[padding] == 2
    assert default["tasks"] >= TARGET.cores
    assert default["window_lanes"] == 16


def test_channels_that_vectors_do_not_divide_may_have_shorter_ones(tmp_path: Path) -> None:
    widths = {
        channels: {
            member["window_lanes"]
            for member in space_of(SeparableShape(6, 6, channels, 8), tmp_path).solutions.sample(
                np.random.default_rng(0), 40
            )
        }
        for channels in (32, 24, 3)
    }
    assert widths == {32: {16}, 24: {16, 8, 4}, 3: {1}}


@pytest.mark.parametrize(
    "text",
    [
        "depthwise:h=9,w=8,c=24,kh=3,kw=3,pad=1,layout=nhwc,weights=constant,epilogue=bias+relu",
        "conv2d:h=9,w=8,ci=8,co=12,kh=1,kw=1,layout=nhwc,weights=constant",
        "gemm:m=16,n=16,k=9",
    ],
)
def test_one_convolution_alone_is_no_pair(text: str) -> None:
    program = read_program(parse_workload(text).prim_func())
    assert program is not None
    assert find_pair(program) is None


def test_the_facts_of_a_pair(tmp_path: Path) -> None:
    workload = fused(SeparableShape(12, 10, 32, 8, taps=5, stride=2, pad=2), tmp_path)
    program = read_program(workload.prim_func())
    pair = find_pair(program) if program is not None else None
    assert pair is not None
    assert pair.padding is not None
    assert (pair.taps, pair.column_taps, pair.column_step) == (25, 5, 2)
    assert (pair.columns.extent, pair.channels.extent) == (5, 32)
    assert pair.inlined[0] == pair.window.name
    assert pair.stage not in pair.inlined


@pytest.mark.parametrize(
    "target",
    [
        "x86:cpu=haswell,cores=4,features=avx2,l1=32768,l2=262144,l3=8388608",
        "x86:cpu=znver4,cores=64,features=avx512,l1=32768,l2=1048576,l3=33554432",
        "x86:cpu=skylake-avx512,cores=16,features=avx512,l1=32768,l2=524288,l3=4194304",
    ],
)
@pytest.mark.parametrize("shape", [SeparableShape(7, 7, 960, 320), SeparableShape(7, 7, 96, 16)])
def test_every_processor_has_schedules(tmp_path: Path, target: str, shape: SeparableShape) -> None:
    space = space_of(shape, tmp_path, Target.parse(target))
    assert space.rules[0] == RULE
    assert space.default["tasks"] >= min(space.target.cores, 49)
