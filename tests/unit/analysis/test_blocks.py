"""Facts read off programs: loops, kinds of blocks, and how each access moves with each iterator."""

from __future__ import annotations

from typing import Any

import pytest
from tvm import te, tirx
from tvm.script import tirx as T

from flextune.analysis.blocks import read_program
from flextune.analysis.program_facts import Access, BlockFacts, BlockKind, ProgramFacts, Term
from flextune.workload import parse_workload


def facts_of(text: str) -> ProgramFacts:
    program = read_program(parse_workload(text).prim_func())
    assert program is not None
    return program


def only_block(func: Any) -> BlockFacts:
    program = read_program(func)
    assert program is not None
    (block,) = program.blocks
    return block


def read_of(func: Any, name: str) -> Access:
    return next(access for access in only_block(func).reads if access.buffer.name == name)


@T.prim_func(s_tir=True)
def gathers(
    a: T.Buffer((64, 8), "float32"),
    b: T.Buffer((16, 12), "float32"),
    c: T.Buffer((24,), "float32"),
    d: T.Buffer((64, 64), "float32"),
    e: T.Buffer((1, 24), "float32"),
    out: T.Buffer((24, 5), "float32"),
):
    for i, j in T.grid(24, 5):
        with T.sblock("out"):
            v_i, v_j = T.axis.remap("SS", [i, j])
            out[v_i, v_j] = (
                a[v_i * 2 + v_j * 3, v_j]
                + b[v_i // 4, v_i // 6]
                + c[T.truncmod(v_i, 4)]
                + d[v_i, v_i]
                + e[0, v_i]
                + a[v_i // 4 + v_i, 0]
            )


def test_strides_of_linear_indices() -> None:
    first = only_block(gathers).reads[0]
    assert first.buffer.shape == (64, 8)
    assert first.terms[0] == (Term("i", 2), Term("j", 3))
    assert first.stride_of("i") == 2 * 8
    assert first.stride_of("j") == 3 * 8 + 1
    assert first.stride_of("nowhere") == 0
    assert first.iterators == {"i", "j"}


def test_an_iterator_in_two_dimensions_moves_along_the_diagonal() -> None:
    diagonal = read_of(gathers, "d")
    assert diagonal.stride_of("i") == 65
    assert diagonal.plain_axes() is None


def test_a_remainder_is_not_linear() -> None:
    remainder = read_of(gathers, "c")
    assert remainder.terms == (None,)
    assert remainder.uses == (frozenset({"i"}),)
    assert remainder.stride_of("i") is None
    assert remainder.stride_of("j") == 0
    assert remainder.plain_axes() is None
    assert remainder.uniform_within("i") is None


def test_uniform_groups_of_a_divided_iterator() -> None:
    divided = read_of(gathers, "b")
    assert divided.uniform_within("i") == 2  # groups of 4 and of 6 begin together every 2
    assert divided.uniform_within("j") is None
    assert divided.stride_of("i") is None
    assert divided.plain_axes() is None


def test_a_divided_iterator_plus_itself_is_not_uniform() -> None:
    mixed = only_block(gathers).reads[-1]
    assert mixed.buffer.name == "a"
    assert mixed.uniform_within("i") is None


def test_plain_axes_skip_dimensions_of_extent_one() -> None:
    assert read_of(gathers, "e").plain_axes() == (None, "i")
    assert only_block(gathers).writes[0].plain_axes() == ("i", "j")


@T.prim_func(s_tir=True)
def fixed_row(a: T.Buffer((4, 8), "float32"), out: T.Buffer((8,), "float32")):
    for i in range(8):
        with T.sblock("out"):
            v_i = T.axis.spatial(8, i)
            out[v_i] = a[2, v_i]


def test_a_constant_index_of_a_longer_dimension_is_not_plain() -> None:
    access = read_of(fixed_row, "a")
    assert access.plain_axes() is None
    assert access.stride_of("i") == 1


def test_gemm() -> None:
    program = facts_of("gemm:m=4,n=6,k=8,tb=1")
    block = program.block("gemm")
    assert [(it.extent, it.kind) for it in block.iterators] == [(4, "spatial"), (6, "spatial"), (8, "reduce")]
    assert block.kind is BlockKind.CONTRACTION
    data, weight = block.factors
    assert (data.buffer.name, data.buffer.parameter) == ("A", 0)
    assert (weight.buffer.name, weight.buffer.parameter) == ("B", 1)
    i, j, k = (it.name for it in block.iterators)
    assert weight.plain_axes() == (j, k)
    assert (weight.stride_of(j), weight.stride_of(k), weight.stride_of(i)) == (8, 1, 0)
    assert block.output.parameter == 2
    assert block.trips == 4 * 6 * 8
    assert block.output.elements == 24


def test_convolution_with_stride_and_dilation() -> None:
    block = facts_of("conv1d:w=20,ci=3,co=5,kw=3,stride=2,dilation=4").block("conv1d")
    data = block.factors[0]
    spatial, reduce = data.terms[-1] or ()
    assert {spatial.coefficient, reduce.coefficient} == {2, 4}
    assert data.plain_axes() is None


def test_grouped_convolution_reads_one_group_for_neighbouring_channels() -> None:
    block = facts_of("conv2d:h=6,w=6,ci=8,co=24,kh=3,kw=3,groups=4,layout=nhwc").block("conv2d")
    channel = block.writes[0].plain_axes()
    assert channel is not None
    assert channel[-1] is not None
    assert block.factors[0].uniform_within(channel[-1]) == 24 // 4
    assert block.factors[1].stride_of(channel[-1]) == 1


def test_producers_and_consumers() -> None:
    program = facts_of("conv2d:h=6,w=6,ci=2,co=3,kh=3,kw=3,pad=1,epilogue=bias+relu")
    names = [block.name for block in program.blocks]
    assert names == ["pad", "conv2d", "bias", "relu"]
    conv = program.block("conv2d")
    assert [b.name for b in program.producers(conv)] == ["pad"]
    assert [b.name for b in program.consumers(conv)] == ["bias"]
    assert program.consumers(program.block("relu")) == ()


@pytest.mark.parametrize(
    ("text", "kinds"),
    [
        ("gemm:m=2,n=2,k=2,dtype=uint8", ["contraction"]),
        ("gemm:m=2,n=2,k=2,dtype=bfloat16", ["contraction"]),
        ("bmm:b=2,m=2,n=2,k=2", ["contraction"]),
        ("gemv:m=2,k=2", ["contraction"]),
        ("depthwise:h=4,w=4,c=2,kh=3,kw=3", ["contraction"]),
        ("conv2d_transpose:h=4,w=4,ci=2,co=2,kh=3,kw=3", ["elementwise", "contraction"]),
        ("scan:m=2,n=3,k=3", ["reduction"]),
        ("softmax:rows=2,cols=3", ["reduction", "elementwise", "reduction", "elementwise"]),
        ("reduce:op=mean,m=2,n=3", ["reduction", "elementwise"]),
        ("pool2d:kind=max,h=4,w=4,c=1,kh=2,kw=2", ["reduction"]),
        ("elementwise:shape=4,ops=add+relu", ["elementwise", "elementwise"]),
    ],
)
def test_kinds(text: str, kinds: list[str]) -> None:
    assert [block.kind.value for block in facts_of(text).blocks] == kinds


@T.prim_func(s_tir=True)
def accumulates_into_an_output(a: T.Buffer((8,), "float32"), out: T.Buffer((1,), "float32")):
    for i in range(8):
        with T.sblock("out"):
            v_i = T.axis.reduce(8, i)
            out[0] = out[0] + a[v_i]


def test_a_reduction_without_initial_value_is_opaque() -> None:
    assert only_block(accumulates_into_an_output).kind is BlockKind.OPAQUE


@T.prim_func(s_tir=True)
def writes_two(a: T.Buffer((8,), "float32"), b: T.Buffer((8,), "float32"), c: T.Buffer((8,), "float32")):
    for i in range(8):
        with T.sblock("both"):
            v_i = T.axis.spatial(8, i)
            T.reads(a[v_i])
            T.writes(b[v_i], c[v_i])
            b[v_i] = a[v_i]
            c[v_i] = a[v_i]


def test_a_block_with_two_results_is_opaque() -> None:
    block = only_block(writes_two)
    assert block.kind is BlockKind.OPAQUE
    assert [access.buffer.name for access in block.writes] == ["b", "c"]
    assert block.reads[0].terms == (None,)


def any_length() -> Any:
    length = tirx.Var("n", "int32")
    data = te.placeholder((length,), name="a")
    return te.create_prim_func([data, te.compute((length,), lambda i: data[i] + 1.0, name="copy")])


@T.prim_func(s_tir=True)
def split_already(a: T.Buffer((8,), "float32"), b: T.Buffer((8,), "float32")):
    for i, j in T.grid(2, 4):
        with T.sblock("copy"):
            v_i = T.axis.spatial(8, i * 4 + j)
            b[v_i] = a[v_i]


@T.prim_func(s_tir=True)
def two_in_one_loop(a: T.Buffer((8,), "float32"), b: T.Buffer((8,), "float32"), c: T.Buffer((8,), "float32")):
    for i in range(8):
        with T.sblock("b"):
            v_i = T.axis.spatial(8, i)
            b[v_i] = a[v_i]
        with T.sblock("c"):
            v_i = T.axis.spatial(8, i)
            c[v_i] = a[v_i]


@T.prim_func(s_tir=True)
def scans(a: T.Buffer((8,), "float32"), b: T.Buffer((8,), "float32")):
    for i in range(8):
        with T.sblock("scan"):
            v_i = T.axis.opaque(8, i)
            b[v_i] = a[v_i]


@pytest.mark.parametrize("func", [any_length(), split_already, two_in_one_loop, scans])
def test_programs_of_another_form_are_left_alone(func: Any) -> None:
    assert read_program(func) is None
