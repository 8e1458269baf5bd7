"""Single nests: shares of the cores, vectors that divide, tails only as a second choice."""

from __future__ import annotations

import pytest

from flextune.platforms.x86.rules import generate_space
from flextune.schedule.space import SearchSpace
from flextune.schedule.steps import Choose, Mark
from flextune.target.target import Target
from flextune.workload import parse_workload

TARGET = Target.parse("x86:cpu=haswell,cores=4,features=avx2,l1=32768,l2=1048576,l3=33554432")


def space_of(text: str) -> SearchSpace:
    return generate_space(parse_workload(text), TARGET)


def is_parallel(space: SearchSpace) -> bool:
    assert not any(isinstance(step, Choose) for step in space.trace.steps)
    return any(isinstance(step, Mark) and step.how == "parallel" for step in space.trace.steps)


@pytest.mark.parametrize(
    ("shape", "lanes", "default"),
    [
        ("64x32", {2, 4, 8, 16}, 8),
        ("64x24", {2, 4, 8}, 8),
        ("64x37", {1, 8}, 1),
        ("4096", {2, 4, 8, 16}, 8),
        ("5x3", {1, 3}, 1),
    ],
)
def test_vector_widths(shape: str, lanes: set[int], default: int) -> None:
    space = space_of(f"elementwise:shape={shape},ops=relu")
    assert set(space.solutions.marginal("lanes_relu")) == lanes
    assert space.default["lanes_relu"] == default


def test_unrolled_vectors_divide_where_vectors_do() -> None:
    for member in space_of("elementwise:shape=64x24,ops=relu").solutions.enumerate():
        assert 24 % (member["lanes_relu"] * member["unroll_relu"]) == 0


def test_strided_blocks_have_no_vectors() -> None:
    assert "lanes_relu" not in space_of("elementwise:shape=64x1,ops=relu").default


@pytest.mark.parametrize(("shape", "parallel"), [("64x37", False), ("512x37", True), ("16384", True), ("16383", False)])
def test_only_large_nests_are_shared(shape: str, parallel: bool) -> None:
    space = space_of(f"elementwise:shape={shape},ops=relu")
    assert is_parallel(space) == parallel
    assert ("task_relu" in space.default) == parallel


def test_tasks_share_the_rows_evenly() -> None:
    space = space_of("elementwise:shape=1000x37,ops=relu")
    assert set(space.solutions.marginal("task_relu")) == {1, 32, 63, 125, 250}
    assert space.default["task_relu"] == 250


def test_chains_are_one_nest() -> None:
    space = space_of("elementwise:shape=64x32,ops=add+mul+relu")
    assert [name for name in space.default if name.startswith("lanes")] == ["lanes_relu"]


def test_a_nest_that_no_other_rule_takes() -> None:
    space = space_of("pool2d:kind=avg,h=7,w=7,c=1024,kh=7,kw=7")
    assert "parallel-nest" in space.rules
    assert is_parallel(space)
    assert space.default["task_pool_sum"] == 256
