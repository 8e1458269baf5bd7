"""Which axis becomes the vector, what is packed, and when an intrinsic applies, for each family of operators."""

from __future__ import annotations

import pytest

from flextune.analysis.blocks import read_program
from flextune.analysis.program_facts import BlockFacts
from flextune.platforms.cpu.limits import CpuLimits
from flextune.platforms.cpu.rules.anchor import Anchor, choose_anchor
from flextune.platforms.x86.intrinsics import BF16, VNNI
from flextune.workload import parse_workload

AVX512 = CpuLimits(512, 32, 32768, 1 << 20, 32 << 20, 2, (VNNI, BF16))
AVX2 = CpuLimits(256, 16, 32768, 1 << 18, 8 << 20, 4)


def anchor_of(text: str, limits: CpuLimits = AVX512) -> Anchor | None:
    workload = parse_workload(text)
    program = read_program(workload.prim_func())
    assert program is not None
    block = max(program.blocks, key=lambda b: (bool(b.reduce), b.trips))
    return choose_anchor(program, block, limits, workload.constants)


def position(anchor: Anchor) -> int:
    """Which dimension of the output the vector axis is."""
    facts: BlockFacts = anchor.facts
    axes = facts.writes[0].plain_axes()
    assert axes is not None
    return axes.index(anchor.vector)


@pytest.mark.parametrize("limits", [AVX512, AVX2])
@pytest.mark.parametrize(
    ("text", "vector", "packed", "must_pack"),
    [
        ("gemm:m=32,n=48,k=16", 1, 1, False),
        ("gemm:m=32,n=48,k=16,tb=1", 1, 1, True),  # strided unless packed
        ("gemm:m=32,n=48,k=16,weights=constant", 1, 1, True),  # packing is free
        ("gemm:m=32,n=48,k=16,ta=1", 1, 1, False),
        ("bmm:b=2,m=32,n=48,k=16,tb=1", 2, 1, True),
        ("conv2d:h=8,w=8,ci=4,co=32,kh=3,kw=3,pad=1,layout=nhwc", 3, 1, False),
        ("conv2d:h=8,w=16,ci=4,co=32,kh=3,kw=3,pad=1", 3, None, False),
        ("conv1d:w=32,ci=4,co=32,kw=3,layout=nwc", 2, 1, False),
        ("depthwise:h=8,w=8,c=32,kh=3,kw=3,layout=nhwc", 3, 1, False),
        ("conv2d_transpose:h=8,w=8,ci=4,co=32,kh=3,kw=3,layout=nhwc", 3, None, False),  # turned kernel
        ("pool2d:kind=max,h=8,w=8,c=32,kh=2,kw=2,layout=nhwc", 3, None, False),
    ],
)
def test_choice(text: str, vector: int, packed: int | None, must_pack: bool, limits: CpuLimits) -> None:
    anchor = anchor_of(text, limits)
    assert anchor is not None
    assert (position(anchor), anchor.packed, anchor.must_pack) == (vector, packed, must_pack)
    assert anchor.intrinsic is None


@pytest.mark.parametrize(
    ("text", "intrinsic"),
    [
        ("gemm:m=32,n=48,k=16,dtype=uint8", VNNI),
        ("gemm:m=32,n=48,k=16,dtype=uint8,tb=1", VNNI),
        ("bmm:b=2,m=32,n=48,k=16,dtype=uint8", VNNI),
        ("conv2d:h=8,w=8,ci=16,co=32,kh=3,kw=3,pad=1,layout=nhwc,dtype=uint8", VNNI),
        ("gemm:m=32,n=48,k=16,dtype=bfloat16", BF16),
        ("conv2d:h=8,w=8,ci=16,co=32,kh=3,kw=3,layout=nhwc,dtype=bfloat16", BF16),
        ("gemm:m=32,n=48,k=18,dtype=uint8", VNNI),  # filled up to a multiple of four
        ("gemm:m=32,n=48,k=2,dtype=uint8", None),  # half of it would be filling
        ("gemm:m=32,n=48,k=18,dtype=bfloat16", BF16),
        ("gemm:m=32,n=48,k=16,ta=1,dtype=uint8", None),  # neighbours along the reduction are apart
        ("conv2d:h=8,w=16,ci=16,co=32,kh=1,kw=1,dtype=uint8", None),  # as in channels-first images
        ("conv2d:h=8,w=16,ci=16,co=32,kh=3,kw=3,dtype=uint8", VNNI),  # along the window
        ("gemm:m=32,n=48,k=16", None),
    ],
)
def test_intrinsics(text: str, intrinsic: object) -> None:
    anchor = anchor_of(text)
    assert anchor is not None
    assert anchor.intrinsic == intrinsic
    if intrinsic is not None:
        assert anchor.must_pack
        without = anchor_of(text, AVX2)
        assert without is not None
        assert without.intrinsic is None


@pytest.mark.parametrize(
    "text",
    [
        "gemm:m=1,n=1,k=16",
        "gemm:m=16,n=1,k=16",  # no reuse pays for packing the rows
        "gemv:m=16,k=16",
        "reduce:op=sum,m=16,n=16",
        "conv2d:h=1,w=1,ci=8,co=1,kh=1,kw=1",
    ],
)
def test_no_axis_suits(text: str) -> None:
    assert anchor_of(text) is None


def test_an_axis_of_extent_one_is_no_vector() -> None:
    anchor = anchor_of("gemm:m=16,n=1,k=16,weights=constant")
    assert anchor is None or position(anchor) == 0


def test_neighbouring_groups_of_a_grouped_convolution() -> None:
    anchor = anchor_of("conv2d:h=8,w=8,ci=16,co=32,kh=3,kw=3,groups=2,layout=nhwc")
    assert anchor is not None
    assert position(anchor) == 3
    assert anchor.uniform == 16
    assert not anchor.ragged


def test_a_stage_makes_tails_loadable() -> None:
    staged, bare = (anchor_of(f"conv2d:h=8,w={w},ci=4,co=32,kh=3,kw=3,pad={pad}") for w, pad in ((16, 1), (18, 0)))
    assert staged is not None
    assert bare is not None
    assert staged.ragged
    assert not bare.ragged


def test_strided_images_gather() -> None:
    anchor = anchor_of("pool2d:kind=max,h=33,w=33,c=4,kh=3,kw=3,stride=2")
    assert anchor is not None
    assert anchor.gathers
    assert anchor_of("pool2d:kind=max,h=33,w=33,c=4,kh=3,kw=3,stride=5") is None


@pytest.mark.parametrize(
    ("epilogue", "blocks"),
    [("", ()), ("bias", ("bias",)), ("bias+relu", ("bias", "relu")), ("bias+gelu+add", ("bias", "gelu", "add"))],
)
def test_epilogues_are_chained(epilogue: str, blocks: tuple[str, ...]) -> None:
    suffix = f",epilogue={epilogue}" if epilogue else ""
    for text in ("gemm:m=32,n=48,k=16", "conv2d:h=8,w=8,ci=4,co=32,kh=3,kw=3,pad=1"):
        anchor = anchor_of(text + suffix)
        assert anchor is not None
        assert tuple(block.name for block in anchor.chain.blocks) == blocks
        assert anchor.last == (anchor.chain.blocks[-1] if blocks else None)


def test_length_of_the_reduction() -> None:
    anchor = anchor_of("conv2d:h=8,w=8,ci=5,co=32,kh=3,kw=2,layout=nhwc")
    assert anchor is not None
    assert anchor.reduction == 5 * 3 * 2
