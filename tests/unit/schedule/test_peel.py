"""Peeled reductions compute what they did, and only reductions that can be split so are peeled."""

from __future__ import annotations

from typing import Any

import pytest
from tvm.script import tirx as T

from flextune.analysis.blocks import read_program
from flextune.errors import ScheduleError
from flextune.schedule.peel import main_block_name, peel_tail, peelable, tail_block_name
from flextune.target.target import Target
from flextune.testing.programs import run_function
from flextune.workload import parse_workload


@pytest.mark.parametrize("width", [2, 4, 8, 12])
@pytest.mark.parametrize(
    ("text", "block"),
    [
        ("reduce:op=sum,m=3,n=13", "sum"),
        ("softmax:rows=3,cols=13", "row_max"),
        ("softmax:rows=3,cols=13", "row_sum"),
        ("gemv:m=5,k=13", "gemv"),
        ("gemv:m=5,k=13,dtype=uint8", "gemv"),
        ("gemm:m=3,n=5,k=13,dtype=bfloat16,epilogue=bias", "gemm"),
        ("pool2d:kind=max,h=14,w=26,c=2,kh=2,kw=13", "pool2d"),
        ("conv2d:h=4,w=15,ci=2,co=3,kh=3,kw=13", "conv2d"),
    ],
)
def test_same_results(text: str, block: str, width: int, host: Target) -> None:
    workload = parse_workload(text)
    inputs = workload.random_inputs(1)
    references = workload.reference(inputs)
    (output,) = run_function(peel_tail(workload.prim_func(), block, width), host, inputs, references)
    assert workload.tolerance().excess(output, references[0]) <= 1


def test_lengths_of_the_parts() -> None:
    program = read_program(peel_tail(parse_workload("softmax:rows=3,cols=29").prim_func(), "row_sum", 8))
    assert program is not None
    assert [b.name for b in program.blocks] == ["row_max", "exp", "row_sum_main", "row_sum_tail", "row_sum", "softmax"]
    assert program.block(main_block_name("row_sum")).reduce[-1].extent == 24
    assert program.block(tail_block_name("row_sum")).reduce[-1].extent == 5
    assert not program.block("row_sum").reduce


def test_parts_can_be_peeled_again(host: Target) -> None:
    workload = parse_workload("reduce:op=sum,m=3,n=29")
    inputs = workload.random_inputs(1)
    references = workload.reference(inputs)
    function = peel_tail(workload.prim_func(), "sum", 16)
    function = peel_tail(function, tail_block_name("sum"), 8)
    (output,) = run_function(function, host, inputs, references)
    assert workload.tolerance().excess(output, references[0]) <= 1


@T.prim_func(s_tir=True)
def horner(a: T.Buffer((4, 13), "float32"), out: T.Buffer((4,), "float32")):
    for i, k in T.grid(4, 13):
        with T.sblock("out"):
            v_i, v_k = T.axis.remap("SR", [i, k])
            with T.init():
                out[v_i] = T.float32(0)
            out[v_i] = out[v_i] * T.float32(2) + a[v_i, v_k]


def started_at(value: float) -> Any:
    @T.prim_func(s_tir=True)
    def sums(a: T.Buffer((4, 13), "float32"), out: T.Buffer((4,), "float32")):
        for i, k in T.grid(4, 13):
            with T.sblock("out"):
                v_i, v_k = T.axis.remap("SR", [i, k])
                with T.init():
                    out[v_i] = T.float32(value)
                out[v_i] = a[v_i, v_k] + out[v_i]

    return sums


def test_the_initial_value_counts_once(host: Target) -> None:
    workload = parse_workload("reduce:op=sum,m=4,n=13")
    inputs = workload.random_inputs(1)
    references = [workload.reference(inputs)[0] + 3]
    (output,) = run_function(peel_tail(started_at(3.0), "out", 4), host, inputs, references)
    assert workload.tolerance().excess(output, references[0]) <= 1


@pytest.mark.parametrize(
    ("function", "block", "width"),
    [
        (horner, "out", 4),  # not associative
        (parse_workload("reduce:op=sum,m=3,n=16").prim_func(), "sum", 4),  # no tail
        (parse_workload("reduce:op=sum,m=3,n=3").prim_func(), "sum", 4),  # nothing but a tail
        (parse_workload("reduce:op=sum,m=3,n=13").prim_func(), "sum", 0),
        (parse_workload("reduce:op=mean,m=3,n=13").prim_func(), "mean", 4),  # no reduction
        (parse_workload("reduce:op=sum,m=3,n=13").prim_func(), "summ", 4),
    ],
)
def test_what_cannot_be_peeled(function: Any, block: str, width: int) -> None:
    with pytest.raises(ScheduleError, match="cannot peel"):
        peel_tail(function, block, width)


def test_peelable_says_what_peel_tail_takes() -> None:
    program = read_program(parse_workload("softmax:rows=3,cols=13").prim_func())
    assert program is not None
    assert [peelable(block, 4) for block in program.blocks] == [True, False, True, False]
    assert not any(peelable(block, 13) for block in program.blocks)
