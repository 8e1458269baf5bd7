"""Facts about programs, against numbers that can be worked out by hand, and against a count of every access."""

from __future__ import annotations

import itertools
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tvm import relax, s_tir, te, tirx

from flextune.analysis.report import LevelReuse, LoopAnalysis, analyze
from flextune.workload import parse_workload


def analysis_of(text: str):
    return analyze(parse_workload(text).prim_func())


def test_loops_of_gemm() -> None:
    block = analysis_of("gemm:m=4,n=6,k=8").block("gemm")
    assert block.loops == (
        LoopAnalysis("i", 4, "spatial", "serial"),
        LoopAnalysis("j", 6, "spatial", "serial"),
        LoopAnalysis("k", 8, "reduce", "serial"),
    )
    assert (block.spatial_loops, block.reduce_loops, block.trips) == (2, 1, 4 * 6 * 8)


def test_reuse_of_gemm_at_each_level() -> None:
    accesses = {access.buffer: access for access in analysis_of("gemm:m=4,n=6,k=8").block("gemm").accesses}
    assert accesses["A"].levels == (
        LevelReuse("i", 192, 32, 6.0),
        LevelReuse("j", 48, 8, 6.0),
        LevelReuse("k", 8, 8, 1.0),
    )
    assert accesses["B"].levels[0] == LevelReuse("i", 192, 48, 4.0)
    assert accesses["gemm"].mode == "update"
    assert accesses["gemm"].reuse == 8


def test_totals_of_gemm() -> None:
    analysis = analysis_of("gemm:m=4,n=6,k=8")
    assert analysis.flops == 2 * 4 * 6 * 8
    assert analysis.bytes == 4 * (4 * 8 + 8 * 6 + 4 * 6)
    assert analysis.intensity == pytest.approx(analysis.flops / analysis.bytes)
    assert analysis.dtype == "float32"


@pytest.mark.parametrize(("dtype", "item_bytes"), [("uint8", (1, 1, 4)), ("bfloat16", (2, 2, 4))])
def test_bytes_follow_the_storage(dtype: str, item_bytes: tuple[int, int, int]) -> None:
    analysis = analysis_of(f"gemm:m=4,n=6,k=8,dtype={dtype}")
    assert analysis.dtype == dtype
    assert analysis.flops == 2 * 4 * 6 * 8
    assert analysis.bytes == sum(a * b for a, b in zip(item_bytes, (32, 48, 24), strict=True))


def test_graph_of_a_convolution_with_epilogue() -> None:
    analysis = analysis_of("conv2d:h=5,w=5,ci=2,co=3,kh=3,kw=3,pad=1,epilogue=bias+add+relu")
    graph = analysis.graph
    assert (graph.nodes, graph.edges, graph.most_consumers) == (5, 4, 1)
    assert graph.inputs == ("data", "weight", "bias_values", "add_values")
    assert graph.outputs == ("relu",)
    assert graph.intermediates == ("add", "bias", "conv2d", "pad")
    conv = analysis.block("conv2d")
    assert (conv.producers, conv.consumers) == (("pad",), ("bias",))
    assert (conv.inputs, conv.outputs) == (("pad", "weight"), ("conv2d",))


def test_a_node_with_two_consumers() -> None:
    exp = analysis_of("softmax:rows=3,cols=5").block("exp")
    assert exp.consumers == ("row_sum", "softmax")
    assert exp.inputs == ("data", "row_max")


def test_padding_is_not_read() -> None:
    pad = analysis_of("conv2d:h=5,w=5,ci=2,co=3,kh=3,kw=3,pad=1").block("pad")
    read = next(access for access in pad.accesses if access.mode == "read")
    assert (read.accesses, read.footprint_elements, read.reuse) == (50, 50, 1.0)


def test_strided_convolution_leaves_elements_out() -> None:
    analysis = analysis_of("conv2d:h=8,w=8,ci=2,co=3,kh=1,kw=1,stride=2")
    data = next(a for a in analysis.block("conv2d").accesses if a.buffer == "data")
    assert data.footprint_elements == 4 * 4 * 2


@settings(max_examples=40, deadline=None, derandomize=True)
@given(
    extents=st.tuples(*[st.integers(1, 5)] * 3),
    factors=st.lists(st.integers(0, 4), min_size=6, max_size=6),
    divisor=st.integers(1, 3),
    shift=st.integers(-2, 2),
)
def test_footprints_agree_with_counting(
    extents: tuple[int, int, int], factors: list[int], divisor: int, shift: int
) -> None:
    """Indices with floor division, remainder, a shift out of the buffer, and loops shared between dimensions."""
    a, b, c, d, e, f = factors
    shape = (7, 11)
    source = te.placeholder(shape, "float32", name="source")

    def rows(i, j, k):
        return (i * a + j * b + k * c) // divisor + shift

    def columns(i, j, k):
        return (i * d + j * e + k * f) % 11

    def inside(row):
        return tirx.all(row >= 0, row < 7)

    copy = te.compute(
        extents,
        lambda i, j, k: tirx.if_then_else(inside(rows(i, j, k)), source(rows(i, j, k), columns(i, j, k)), 0.0),
        name="copy",
    )
    analysis = analyze(te.create_prim_func([source, copy]))
    read = next(access for access in analysis.block("copy").accesses if access.mode == "read")
    points = [(rows(*p), columns(*p)) for p in itertools.product(*map(range, extents))]
    met = [point for point in points if 0 <= point[0] < 7]
    assert read.exact
    assert (read.accesses, read.footprint_elements) == (len(met), len(set(met)))


def test_data_dependent_indices_give_a_bound() -> None:
    builder = relax.BlockBuilder()
    data = relax.Var("x", relax.TensorType((4, 8), "float32"))
    picks = relax.Var("i", relax.TensorType((5,), "int64"))
    with builder.function("main", [data, picks]):
        builder.emit_func_output(builder.emit(relax.op.take(data, picks, axis=1)))
    module = relax.transform.LegalizeOps()(builder.get())
    take = next(func for func in module.functions.values() if isinstance(func, tirx.PrimFunc))
    block = analyze(take).blocks[0]
    access = next(a for a in block.accesses if a.buffer == "x")
    assert not access.exact
    assert access.accesses == 20
    assert access.footprint_elements <= 32


def test_scheduled_program_keeps_its_totals() -> None:
    plain = parse_workload("gemm:m=32,n=32,k=32").prim_func()
    schedule = s_tir.Schedule(plain)
    block = schedule.get_sblock("gemm")
    i, j, k = schedule.get_loops(block)
    i0, i1 = schedule.split(i, [None, 8])
    j0, j1 = schedule.split(j, [None, 16])
    schedule.reorder(i0, j0, k, i1, j1)
    schedule.parallel(i0)
    schedule.vectorize(j1)
    before, after = analyze(plain), analyze(schedule.mod["main"])
    assert (after.flops, after.bytes) == (before.flops, before.bytes)
    loops = after.block("gemm").loops
    assert [loop.extent for loop in loops] == [4, 2, 32, 8, 16]
    assert [loop.mark for loop in loops] == ["parallel", "serial", "serial", "serial", "vectorized"]
    assert [loop.kind for loop in loops] == ["spatial", "spatial", "reduce", "spatial", "spatial"]
    tile = {access.buffer: access.levels[2] for access in after.block("gemm").accesses}
    assert (tile["A"].elements, tile["B"].elements, tile["gemm"].elements) == (8 * 32, 32 * 16, 8 * 16)


def test_every_operator_is_analyzed_and_is_plain_data() -> None:
    for text in (
        "conv3d:d=3,h=4,w=5,ci=2,co=2,kd=2,kh=2,kw=2,groups=2",
        "conv2d_transpose:h=3,w=3,ci=2,co=2,kh=2,kw=2,stride=2",
        "depthwise:h=5,w=5,c=4,multiplier=2,kh=3,kw=3,pad=1,layout=nhwc",
        "scan:m=3,n=4,k=5",
        "layer_norm:rows=3,cols=5",
        "pool2d:kind=avg,h=5,w=5,c=2,kh=2,kw=2,pad=1",
    ):
        analysis = analysis_of(text)
        tree = json.loads(json.dumps(analysis.as_dict()))
        assert tree["flops"] == analysis.flops > 0
        assert len(tree["blocks"]) == analysis.graph.nodes
        assert all(access.exact for block in analysis.blocks for access in block.accesses)


def test_large_shapes_are_quick_to_count() -> None:
    """The footprint of a large convolution follows from its independent dimensions."""
    analysis = analysis_of("conv3d:n=8,d=8,h=56,w=56,ci=64,co=64,kd=3,kh=3,kw=3,pad=1")
    data = next(a for a in analysis.block("conv3d").accesses if a.buffer == "pad")
    assert data.exact
    assert data.footprint_elements == 8 * 64 * 10 * 58 * 58
