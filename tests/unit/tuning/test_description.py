"""What cost models are told about tasks."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from flextune.cost.features import FeatureTable
from flextune.cost.shared_features import shared_features
from flextune.cost.task_description import Axis, Operand, Role
from flextune.errors import UsageError
from flextune.platforms import platform_registry
from flextune.schedule.space import SearchSpace, VariableRole
from flextune.target.target import Target
from flextune.testing.cost_models import example_pretrained
from flextune.tuning.description import check_target, describe_task
from flextune.workload.parse import parse_workload

TARGET = Target.parse("x86:cpu=znver3,cores=2,features=avx2")


def space_of(text: str, target: Target = TARGET) -> SearchSpace:
    return platform_registry.get(target.kind).search_space(parse_workload(text), target)


def test_a_matrix_product() -> None:
    task = describe_task(space_of("gemm:m=96,n=64,k=32"))
    assert task.operator == "gemm"
    assert task.vector == "j"
    assert task.axes == (
        Axis("i", 96, levels=(("tile_i",), ("cache_i",), ("grid_i",))),
        Axis("j", 64, levels=(("panel",), ("cache_j",), ("grid_j",))),
        Axis("k", 32, reduced=True),
    )
    assert task.operands == (
        Operand("gemm", 4, True, ((("i", 1),), (("j", 1),))),
        Operand("A", 4, False, ((("i", 1),), (("k", 1),))),
        Operand("B", 4, False, ((("k", 1),), (("j", 1),))),
    )
    assert [task.role(name) for name in ("tile_i", "cache_j", "panel", "unroll")] == [
        Role("tile_i", "tile", "i"),
        Role("cache_j", "cache", "j"),
        Role("panel", "panel"),
        Role("unroll", "unroll"),
    ]
    assert task.by_name["operations"] == 2 * 96 * 64 * 32
    assert task.by_name["data bytes"] == 4 * (96 * 32 + 32 * 64 + 96 * 64)
    assert task.by_name["l1 bytes"] == TARGET.number("l1")


def test_a_convolution_is_described_by_its_contraction() -> None:
    task = describe_task(space_of("conv2d:n=1,h=14,w=14,ci=32,co=32,kh=3,kw=3,pad=1"))
    assert {axis.name for axis in task.axes if axis.reduced} == {"rc", "rh", "rw"}
    assert task.vector in {"ow", "co"}
    assert task.role("at_pad") == Role("at_pad", "at")
    assert ((("oh", 1), ("rh", 1))) in [dimension for operand in task.operands for dimension in operand.dimensions]


def test_variables_of_other_computations_and_of_names_that_look_alike() -> None:
    """A variable of the block `T_i` is along no axis `i`; prefixes tell computations apart."""
    space = replace(
        space_of("gemm:m=96,n=64,k=32"),
        roles=(VariableRole("task", block="T_i"), VariableRole("cache", axis="j", prefix="dense.")),
    )
    assert describe_task(space).roles == (Role("task_T_i", "task"), Role("dense.cache_j", "other cache"))


@pytest.mark.parametrize("text", ["softmax:rows=32,cols=64", "bmm:b=2,m=16,n=16,k=16", "gemv:m=64,k=32"])
def test_every_feature_of_a_default_is_a_number(text: str) -> None:
    space = space_of(text)
    table = FeatureTable(shared_features(space.solutions.names, describe_task(space)))
    assert len(set(table.names)) == len(table.names)
    row = table.rows(space.solutions.unrank_many([0]))[0]
    assert all(math.isfinite(value) for value in row.tolist())


def test_a_platform_without_loops() -> None:
    task = describe_task(space_of("gemm:m=8,n=8,k=8", Target.parse("null:cpu=none,cores=1")))
    assert all(not axis.levels for axis in task.axes)
    assert task.vector == ""


def test_a_model_of_another_target_is_refused() -> None:
    check_target(None, TARGET)
    with pytest.raises(
        UsageError, match="the pretrained model is of the target example, this run is for x86:cpu=znver3"
    ):
        check_target(example_pretrained(), TARGET)
