"""Spaces of x86: which rules apply where, sizes, small spaces whole, extreme extents, other instruction sets."""

from __future__ import annotations

import re

import numpy as np
import pytest
from tvm import s_tir

from flextune.csp import Assignment
from flextune.platforms.x86.intrinsics import available_intrinsics
from flextune.platforms.x86.rules import generate_space
from flextune.schedule.apply import apply_trace
from flextune.schedule.space import SearchSpace
from flextune.schedule.steps import Tensorize
from flextune.schedule.trace import Trace
from flextune.target.target import Target
from flextune.workload import Workload, from_prim_func, list_workload_names, parse_workload

CACHES = "l1=32768,l2=1048576,l3=33554432"
AVX512 = Target.parse(f"x86:cpu=znver4,cores=2,features=avx512+vnni+bf16,{CACHES}")
AVX2 = Target.parse(f"x86:cpu=haswell,cores=4,features=avx2,{CACHES}")
SSE4 = Target.parse(f"x86:cpu=x86-64-v2,cores=2,features=sse4,{CACHES}")
TARGETS = (AVX512, AVX2, SSE4)


def space_of(text: str, target: Target = AVX512) -> SearchSpace:
    return generate_space(parse_workload(text), target)


def tensorized(space: SearchSpace) -> list[str]:
    return [step.intrinsic for step in space.trace.steps if isinstance(step, Tensorize)]


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.word("cpu"))
@pytest.mark.parametrize(
    ("text", "rules"),
    [
        ("gemm:m=32,n=48,k=16", ("register-tile",)),
        ("bmm:b=2,m=32,n=48,k=16,tb=1,epilogue=bias", ("register-tile",)),
        ("gemv:m=32,k=64", ("rows",)),
        ("conv1d:w=16,ci=4,co=16,kw=3", ("register-tile",)),
        ("conv2d:h=8,w=8,ci=8,co=16,kh=3,kw=3,pad=1,epilogue=bias+relu", ("register-tile",)),
        ("conv3d:d=4,h=4,w=8,ci=4,co=16,kd=3,kh=3,kw=3,layout=ndhwc", ("register-tile",)),
        ("depthwise:h=8,w=8,c=16,kh=3,kw=3,pad=1,layout=nhwc", ("register-tile",)),
        ("conv2d_transpose:h=6,w=6,ci=4,co=16,kh=3,kw=3", ("register-tile",)),
        ("conv2d_transpose:h=6,w=6,ci=4,co=16,kh=2,kw=2,stride=2", ("phases", "register-tile")),
        ("conv2d_transpose:h=6,w=6,ci=4,co=16,kh=3,kw=3,stride=2,pad=1", ("phases", "register-tile", "element-wise")),
        ("conv1d_transpose:w=6,ci=4,co=16,kw=2,stride=2,groups=2", ("phases", "register-tile")),
        ("conv2d_im2col:h=8,w=8,ci=8,co=16,kh=3,kw=3,layout=nhwc", ("register-tile",)),
        ("pixel_cnn:h=8,w=8,ci=8,co=16,kh=3,kw=3,mask=B,pad=1", ("register-tile",)),
        ("bilinear:n=16,k1=8,k2=32,m=8", ("register-tile",)),
        ("mttkrp:n=8,k1=8,k2=32,m=16", ("register-tile",)),
        ("lstm_cell:n=4,input=16,hidden=16,bias=1", ("register-tile", "element-wise")),
        ("batch_norm:n=32,c=48", ("register-tile", "element-wise")),
        ("max_unpool2d:c=64,h=16,w=16,kh=2,kw=2,stride=2", ("element-wise",)),
        ("shift_conv2d:h=32,w=32,c=64,kh=3,kw=3", ("element-wise",)),
        ("conv2d_winograd:h=16,w=16,ci=16,co=32,pad=1", ("winograd",)),
        ("scan:m=8,n=8,k=8", ("register-tile",)),
        ("scan:m=8,n=64,k=64", ("blocked-scan", "register-tile", "element-wise")),
        ("softmax:rows=16,cols=64", ("rows",)),
        ("layer_norm:rows=16,cols=61", ("rows",)),
        ("layer_norm:rows=128,cols=3", ("rows",)),
        ("softmax:rows=128,cols=3", ("rows",)),
        ("softmax:rows=8192,cols=6", ("parallel-nest", "element-wise")),
        ("reduce:op=max,m=128,n=5", ("rows",)),
        ("pool2d:kind=max,h=16,w=16,c=16,kh=3,kw=3,stride=2,layout=nchw", ("register-tile",)),
        ("softmax:rows=16,cols=61,dtype=bfloat16", ("rows",)),
        ("reduce:op=argmax,m=16,n=64", ("rows",)),
        ("batch_norm:n=3,c=16,h=8,w=16", ("rows", "element-wise")),
        ("reduce:op=max,m=16,n=64,dtype=bfloat16", ("rows",)),
        ("reduce:op=variance,m=16,n=37", ("rows",)),
        ("pool2d:kind=avg,h=9,w=9,c=16,kh=3,kw=3,pad=1,layout=nhwc", ("register-tile",)),
        ("elementwise:shape=16x64,ops=add+gelu", ("element-wise",)),
        ("elementwise:shape=1009,ops=add", ("element-wise",)),
    ],
)
def test_rules_of_each_family(text: str, rules: tuple[str, ...], target: Target) -> None:
    space = space_of(text, target)
    assert space.rules == rules
    assert space.tunable
    assert space.solutions.count > 1
    assert space.default in space.solutions
    assert Trace.from_json(space.trace.to_json()) == space.trace
    apply_trace(space.workload, space.trace, space.default, space.target)


@pytest.mark.parametrize(
    ("text", "intrinsic"),
    [
        ("gemm:m=32,n=48,k=16,dtype=uint8", "flextune.vnni_u8s8"),
        ("conv2d:h=8,w=8,ci=8,co=16,kh=3,kw=3,layout=nhwc,dtype=uint8,weights=constant", "flextune.vnni_u8s8"),
        ("gemm:m=32,n=48,k=16,dtype=bfloat16,tb=1", "flextune.bf16_pairs"),
    ],
)
def test_intrinsics_only_where_the_target_has_them(text: str, intrinsic: str) -> None:
    assert tensorized(space_of(text)) == [intrinsic]
    for target in (AVX2, SSE4, Target.parse(f"x86:cpu=skylake-avx512,cores=2,features=avx512,{CACHES}")):
        assert available_intrinsics(target) == ()
        assert tensorized(space_of(text, target)) == []


def test_lanes_follow_the_vector_width() -> None:
    widths = {
        target.word("cpu"): max(space_of("gemm:m=64,n=64,k=64", target).solutions.marginal("lanes"))
        for target in TARGETS
    }
    assert widths == {"znver4": 16, "haswell": 8, "x86-64-v2": 4}


@pytest.mark.parametrize(
    ("text", "target"),
    [
        ("gemm:m=3,n=8,k=4", AVX512),
        ("gemm:m=1,n=20,k=6,dtype=uint8", AVX512),
        ("gemm:m=5,n=16,k=8,dtype=uint8", AVX512),
        ("gemm:m=2,n=16,k=3,tb=1,epilogue=bias", AVX2),
        ("conv1d:w=6,ci=2,co=4,kw=3,pad=1,epilogue=relu", AVX512),
        ("conv2d:h=5,w=5,ci=1,co=1,kh=3,kw=3,pad=1", AVX512),
        ("conv2d:h=5,w=3,ci=4,co=4,kh=3,kw=1,groups=4,layout=nhwc", SSE4),
        ("depthwise:h=4,w=4,c=3,kh=3,kw=3,pad=1,layout=nhwc", AVX512),
        ("pool2d:kind=max,h=6,w=6,c=2,kh=2,kw=2,stride=2", AVX512),
        ("softmax:rows=5,cols=37", AVX512),
        ("softmax:rows=8,cols=24", AVX2),
        ("layer_norm:rows=6,cols=33", SSE4),
        ("scan:m=2,n=5,k=5", AVX512),
        ("gemv:m=6,k=19", AVX2),
        ("elementwise:shape=100003,ops=add", AVX512),
        ("elementwise:shape=64x260,ops=add+relu", AVX2),
        ("pool2d:kind=avg,h=7,w=7,c=512,kh=7,kw=7", AVX512),
    ],
    ids=lambda value: str(value)[:40],
)
def test_every_member_of_a_small_space_is_legal(text: str, target: Target) -> None:
    space = space_of(text, target)
    assert 1 < space.solutions.count <= 700
    for member in list(space.solutions.enumerate())[:: 1 + space.solutions.count // 60]:
        apply_trace(space.workload, space.trace, member, space.target)


@pytest.mark.parametrize(
    "text",
    [
        "gemm:m=1,n=1,k=1",
        "gemm:m=1,n=1,k=1,dtype=uint8,weights=constant,epilogue=bias",
        "bmm:b=1,m=1,n=1,k=7",
        "gemv:m=1,k=1",
        "conv2d:h=1,w=1,ci=1,co=1,kh=1,kw=1",
        "conv3d:d=1,h=1,w=1,ci=1,co=1,kd=1,kh=1,kw=1,layout=ndhwc",
        "depthwise:h=1,w=1,c=1,kh=1,kw=1",
        "softmax:rows=1,cols=1",
        "layer_norm:rows=1,cols=1",
        "reduce:op=sum,m=1,n=1",
        "pool2d:kind=max,h=1,w=1,c=1,kh=1,kw=1",
        "scan:m=1,n=1,k=1",
        "elementwise:shape=1,ops=relu",
        "elementwise:shape=1x1x1,ops=add+relu",
    ],
)
@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.word("cpu"))
def test_extents_of_one(text: str, target: Target) -> None:
    space = space_of(text, target)
    assert space.solutions.count >= 1
    apply_trace(space.workload, space.trace, space.default, space.target)


@pytest.mark.parametrize(
    "text",
    [
        "gemm:m=131072,n=16000,k=16000",
        "gemm:m=30030,n=30030,k=30030,weights=constant",
        "gemm:m=46337,n=46337,k=46337",
        "bmm:b=4096,m=512,n=512,k=64,dtype=uint8",
        "conv2d:n=32,h=224,w=224,ci=64,co=512,kh=7,kw=7,pad=3,layout=nhwc,dtype=bfloat16",
        "conv3d:n=4,d=32,h=112,w=112,ci=64,co=64,kd=3,kh=3,kw=3,pad=1",
        "softmax:rows=1000003,cols=2017",
        "elementwise:shape=2147483647,ops=relu",
        "gemm:m=2147483647,n=1,k=1",
        "gemm:m=1,n=2147483647,k=1",
        "gemm:m=1000003,n=2,k=1000",
        "reduce:op=sum,m=2147483647,n=1",
        "reduce:op=sum,m=1,n=2147483647",
        "gemv:m=2147483,k=1000",
        "pool2d:kind=max,h=46339,w=46339,c=1,kh=46339,kw=46339",
        "depthwise:h=1,w=1,c=2147483647,kh=1,kw=1",
    ],
)
def test_huge_extents(text: str) -> None:
    """Spaces of problems too large to run here are exact, and their schedules apply."""
    space = space_of(text)
    assert space.solutions.count > 1
    assert space.solutions.unrank(space.solutions.count - 1) in space.solutions
    apply_trace(space.workload, space.trace, space.default, space.target)


@pytest.mark.slow
def test_shapes_by_name() -> None:
    """A sample of the shipped shapes: all are tunable, and their defaults and some members apply."""
    rng = np.random.default_rng(5)
    names = list_workload_names()
    for name in rng.choice(np.array(names), 60, replace=False):
        space = space_of(str(name), TARGETS[int(rng.integers(3))])
        assert space.solutions.count > 1, name
        for member in (space.default, *space.solutions.sample(rng, 1)):
            apply_trace(space.workload, space.trace, member, space.target)


def test_a_program_that_no_rule_knows_is_left_as_it_is() -> None:
    original = parse_workload("gemm:m=4,n=4,k=4")
    other = restructured(original)
    space = generate_space(other, AVX512)
    assert space.rules == ("untuned",)
    assert not space.tunable
    assert space.default == Assignment({})
    assert apply_trace(other, space.trace, space.default, space.target).packs == ()


def restructured(workload: Workload) -> Workload:
    """A workload whose block is no longer bound one to one to its loops."""
    schedule = s_tir.Schedule(workload.prim_func())
    schedule.split(schedule.get_loops(schedule.get_sblock("gemm"))[0], [2, 2])
    return from_prim_func(schedule.mod["main"], "split", ())


@pytest.mark.parametrize(
    ("text", "tasks"),
    [
        ("gemm:m=1,n=256,k=64,weights=constant", 1),
        ("gemm:m=8,n=16,k=64,weights=constant", 1),
        ("gemm:m=64,n=256,k=64,weights=constant", 2),
        ("softmax:rows=4,cols=96", 1),
        ("softmax:rows=64,cols=960", 2),
        ("elementwise:shape=8x64,ops=sigmoid", 1),
        ("elementwise:shape=32x64,ops=sigmoid", 2),  # of the same size, but of less work:
        ("elementwise:shape=32x64,ops=relu", 1),
    ],
)
def test_cores_share_what_is_worth_it(text: str, tasks: int) -> None:
    space = space_of(text)
    module = apply_trace(space.workload, space.trace, space.default, space.target).module
    assert bool(re.search(r"T\.parallel\((?!1\))", module.script())) == (tasks > 1)


def test_a_transposed_convolution_that_stores_with_gaps_runs_along_channels() -> None:
    """Along the image, neighbours of a vector would be written as far apart as the stride is wide."""
    space = space_of("conv2d_transpose:h=16,w=16,ci=64,co=32,kh=2,kw=2,stride=2,layout=nchw")
    assert {name.rpartition(".")[2] for name in space.default} >= {"cache_co", "tile_ow"}
    assert not any(name.endswith("tile_co") for name in space.default)


def test_the_same_space_every_time() -> None:
    first, second = (space_of("conv2d:h=8,w=8,ci=8,co=16,kh=3,kw=3,pad=1") for _ in range(2))
    assert first.trace == second.trace
    assert str(first.problem) == str(second.problem)
    assert first.default == second.default
