"""Members of spaces compute the right thing: every operator, odd shapes, three instruction sets, elements all checked.

The default and some random members of each space are built, run on this host, and compared with the workload's own
NumPy reference within its tolerance (exactly for integers).
"""

from __future__ import annotations

import zlib

import numpy as np
import pytest

from flextune.platforms.x86.rules import generate_space
from flextune.target.detect import detect
from flextune.target.target import Target
from flextune.testing.programs import MemberCheck
from flextune.workload import parse_workload

CACHES = "l1=32768,l2=262144,l3=8388608"

GEMMS = (
    "gemm:m=17,n=23,k=29",
    "gemm:m=33,n=40,k=16,ta=1,epilogue=bias+gelu+add",
    "gemm:m=1,n=37,k=65,tb=1,weights=constant,epilogue=bias",
    "gemm:m=31,n=45,k=44,dtype=uint8,epilogue=bias+relu",
    "gemm:m=13,n=32,k=40,dtype=uint8,tb=1,weights=constant",
    "gemm:m=13,n=21,k=41,dtype=uint8",
    "gemm:m=19,n=33,k=24,dtype=bfloat16,epilogue=bias",
    "gemm:m=8,n=16,k=15,dtype=bfloat16,tb=1,weights=constant",
    "gemm:m=40,n=1,k=65",
    "bmm:b=3,m=17,n=29,k=23,tb=1",
    "bmm:b=2,m=9,n=32,k=20,dtype=uint8,weights=constant",
)
CONVOLUTIONS = (
    "conv1d:w=31,ci=7,co=13,kw=3,pad=1,stride=2,layout=nwc,epilogue=relu",
    "conv1d:w=32,ci=16,co=32,kw=3,pad=2,dilation=2,groups=4",
    "conv1d:w=20,ci=8,co=20,kw=3,layout=nwc,dtype=uint8,weights=constant",
    "conv2d:h=9,w=11,ci=5,co=7,kh=3,kw=3,pad=1,epilogue=bias+relu",
    "conv2d:h=9,w=11,ci=5,co=19,kh=3,kw=3,pad=1,layout=nhwc,weights=constant,epilogue=bias+add",
    "conv2d:n=2,h=7,w=9,ci=4,co=17,kh=2,kw=3,pad=1x0,stride=2x1,epilogue=bias+gelu",
    "conv2d:h=12,w=12,ci=8,co=16,kh=3,kw=3,pad=0x1x2x1,dilation=2,layout=nhwc",
    "conv2d:h=8,w=8,ci=12,co=24,kh=3,kw=3,groups=4,pad=1,layout=nhwc",
    "conv2d:h=8,w=8,ci=8,co=8,kh=3,kw=3,groups=8,pad=1",
    "conv2d:h=7,w=7,ci=32,co=64,kh=3,kw=3,groups=2,pad=1,layout=nhwc,dtype=uint8",
    "conv2d:h=7,w=7,ci=16,co=20,kh=3,kw=3,pad=1,layout=nhwc,dtype=uint8,epilogue=bias+relu",
    "conv2d:h=8,w=8,ci=3,co=16,kh=3,kw=3,pad=1,dtype=uint8,weights=constant",
    "conv2d:h=6,w=7,ci=8,co=24,kh=3,kw=3,pad=1,layout=nhwc,dtype=bfloat16,weights=constant",
    "conv2d:h=14,w=14,ci=3,co=10,kh=7,kw=7,stride=2,pad=3,weights=constant,epilogue=bias+relu",
    "conv2d:h=7,w=7,ci=16,co=24,kh=1,kw=1,epilogue=add",
    "conv3d:d=3,h=5,w=7,ci=3,co=5,kd=2,kh=3,kw=2,layout=ndhwc,stride=2,pad=1",
    "conv3d:d=3,h=4,w=6,ci=4,co=9,kd=3,kh=3,kw=3,pad=1,dtype=uint8",
    "depthwise:h=13,w=11,c=7,kh=3,kw=3,pad=1,stride=2,epilogue=bias",
    "depthwise:h=9,w=11,c=19,kh=3,kw=3,pad=1,layout=nhwc,multiplier=2",
    "depthwise:h=9,w=9,c=16,kh=3,kw=3,pad=1,dtype=uint8,layout=nhwc,weights=constant",
    "conv2d_transpose:h=5,w=7,ci=3,co=5,kh=4,kw=4,stride=2,pad=1,layout=nhwc",
    "conv2d_transpose:h=6,w=6,ci=4,co=16,kh=3,kw=3,stride=2,pad=1,output_padding=1,dtype=uint8",
)
OTHERS = (
    "gemv:m=31,k=37,epilogue=bias+relu",
    "gemv:m=97,k=101,dtype=uint8",
    "gemv:m=64,k=96,weights=constant",
    "scan:m=7,n=31,k=31",
    "scan:m=5,n=16,k=40,dtype=uint8",
    "softmax:rows=13,cols=37",
    "softmax:rows=32,cols=64",
    "layer_norm:rows=7,cols=101",
    "layer_norm:rows=24,cols=48",
    "layer_norm:rows=7,cols=2",
    "reduce:op=variance,m=31,n=39",
    "reduce:op=mean,m=8,n=1000",
    "reduce:op=sum,m=40,n=1",
    "pool2d:kind=max,h=15,w=13,c=17,kh=3,kw=3,stride=2,pad=1",
    "pool2d:kind=avg,h=15,w=13,c=17,kh=3,kw=3,stride=2,pad=1,layout=nhwc",
    "pool2d:kind=avg,h=7,w=7,c=13,kh=7,kw=7",
    "elementwise:shape=16411,ops=add+gelu",
    "elementwise:shape=33x514,ops=sub+sigmoid",
    "elementwise:shape=5x7x9,ops=mul+tanh",
)


def foreign(features: str, cpu: str, cores: int) -> Target:
    return Target.parse(f"x86:cpu={cpu},cores={cores},features={features},{CACHES}")


def errors(text: str, target: Target, count: int, seed: int = 0) -> list[str]:
    """What is wrong with the default and `count` random members."""
    space = generate_space(parse_workload(text), target)
    rng = np.random.default_rng(zlib.crc32(text.encode(), seed))
    members = {str(member): member for member in (space.default, *space.solutions.sample(rng, count))}
    check = MemberCheck(space)
    found = ((name, check.error(member)) for name, member in members.items())
    return [f"{name}: {error}" for name, error in found if error]


@pytest.mark.hardware("x86")
@pytest.mark.parametrize("text", [*GEMMS, *CONVOLUTIONS, *OTHERS])
def test_on_this_host(text: str) -> None:
    assert errors(text, detect(), 1) == []


@pytest.mark.slow
@pytest.mark.hardware("x86")
@pytest.mark.parametrize("text", [*GEMMS, *CONVOLUTIONS, *OTHERS])
def test_more_members_on_this_host(text: str) -> None:
    assert errors(text, detect(), 3, seed=1) == []


@pytest.mark.hardware("avx2")
@pytest.mark.parametrize("text", [*GEMMS[::2], *CONVOLUTIONS[::2], *OTHERS[::2]])
def test_with_avx2_only(text: str) -> None:
    assert errors(text, foreign("avx2", "haswell", 3), 1) == []


@pytest.mark.hardware("sse4")
@pytest.mark.parametrize("text", [*GEMMS[1::2], *CONVOLUTIONS[1::2], *OTHERS[1::2]])
def test_with_sse4_only(text: str) -> None:
    assert errors(text, foreign("sse4", "x86-64-v2", 1), 1) == []


@pytest.mark.hardware("x86")
def test_every_member_of_a_tiny_space() -> None:
    space = generate_space(parse_workload("gemm:m=3,n=7,k=5,tb=1,epilogue=bias"), foreign("sse4", "x86-64-v2", 2))
    check = MemberCheck(space)
    members = list(space.solutions.enumerate())
    assert 1 < len(members) < 200
    assert [error for member in members[:: 1 + len(members) // 40] if (error := check.error(member))] == []


@pytest.mark.hardware("x86")
def test_the_check_sees_a_wrong_program() -> None:
    """A schedule for another epilogue is not taken for right."""
    right = generate_space(parse_workload("gemm:m=8,n=16,k=8,epilogue=relu"), detect())
    check = MemberCheck(right)
    check.references = [np.where(reference == reference.max(), 0, reference) for reference in check.references]
    assert "wrong in 1 of 128 elements" in check.error(right.default)
