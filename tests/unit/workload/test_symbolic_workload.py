"""Workloads with ranges for sizes: their text, what they are at numbers, and what is refused."""

from __future__ import annotations

import pytest

from flextune.analysis.symbols import bound
from flextune.errors import UsageError
from flextune.workload import parse_workload
from flextune.workload.dim import Dim
from flextune.workload.symbolic_workload import SymbolicWorkload
from flextune.workload.tir import from_prim_func

TEXTS = (
    "gemm:m=1..512,n=768,k=768,dtype=float32",
    "gemm:m=1..64@uniform,n=8..64:8,k=20,dtype=bfloat16,weights=constant",
    "layer_norm:rows=1..4096,cols=768,dtype=float32",
    "conv2d:n=1..4,h=8..64,w=8..64,ci=8,co=16,kh=3,kw=3,pad=1,layout=nhwc,dtype=float32,epilogue=bias+relu",
)


@pytest.mark.parametrize("text", TEXTS)
def test_the_text_form_is_read_back(text: str) -> None:
    assert str(SymbolicWorkload.parse(text)) == text
    assert SymbolicWorkload.parse(str(SymbolicWorkload.parse(text))) == SymbolicWorkload.parse(text)


def test_bound_it_is_the_workload_of_these_sizes() -> None:
    symbolic = SymbolicWorkload.parse("gemm:m=1..512,n=768,k=768,epilogue=relu")
    assert symbolic.dims == (Dim("m", 1, 512),)
    static = parse_workload("gemm:m=31,n=768,k=768,epilogue=relu")
    assert symbolic.bind({"m": 31}) == static
    assert symbolic.bind({"m": 31}).key == static.key


def test_the_program_at_numbers_is_the_static_one() -> None:
    symbolic = SymbolicWorkload.parse("conv2d:n=1..4,h=8..64,w=8..64,ci=8,co=16,kh=3,kw=3,pad=1,stride=2,layout=nhwc")
    sizes = {"n": 2, "h": 21, "w": 8}
    of_symbols = from_prim_func(bound(symbolic.prim_func(), sizes), "bound")
    static = symbolic.bind(sizes)
    assert [spec.shape for spec in of_symbols.inputs] == [spec.shape for spec in static.inputs]
    assert [spec.shape for spec in of_symbols.outputs] == [spec.shape for spec in static.outputs]
    assert of_symbols.flops == static.flops


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("gemm:m=8,n=8,k=8", "no parameter has a range"),
        ("gemm:m=9..3,n=8,k=8", "range 9..3"),
        ("gemm:m=1..8,n=8", "needs k"),
        ("conv2d:h=1..9,w=9,ci=4,co=4,kh=3,kw=3", "kernel covers 3"),
        ("reduce:op=sum,m=4,n=1..4,axis=0..1", "axis is no size"),
        ("tir:name=a,sha=h1,m=1..3", "tir"),
    ],
)
def test_what_cannot_be_used_is_refused(text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        SymbolicWorkload.parse(text)


def test_sizes_out_of_range_or_missing_are_refused() -> None:
    symbolic = SymbolicWorkload.parse("gemm:m=8..64:8,n=1..8,k=8")
    for sizes in ({"m": 12, "n": 1}, {"m": 72, "n": 1}, {"m": 8}, {"m": 8, "n": 1, "k": 8}):
        with pytest.raises(UsageError):
            symbolic.bind(sizes)
