"""Reductions in parts and columns apart compute what the whole did, and are refused where they cannot be cut."""

from __future__ import annotations

import numpy as np
import pytest

from flextune.analysis.blocks import read_program
from flextune.errors import ScheduleError
from flextune.schedule.parts import combination
from flextune.schedule.peel import has_columns, peel_columns, tail_block_name
from flextune.schedule.split_reduction import parts_block_name, split_reduction
from flextune.target.target import Target
from flextune.testing.programs import run_function
from flextune.workload import parse_workload


@pytest.mark.parametrize(
    ("text", "block", "axis", "parts"),
    [
        ("reduce:op=sum,m=3,n=24", "sum", "r", 4),
        ("reduce:op=max,m=3,n=24", "max", "r", 8),
        ("reduce:op=argmin,m=20,n=12,axis=0,dtype=uint8", "argmin", "r", 5),
        ("gemm:m=3,n=4,k=12,epilogue=bias+relu", "gemm", "k", 6),
        ("conv2d:h=5,w=4,ci=6,co=3,kh=3,kw=2,dtype=uint8", "conv2d", "rc", 3),
        ("gemv:m=3,k=20,dtype=bfloat16", "gemv", "k", 2),
    ],
)
def test_parts_add_up(text: str, block: str, axis: str, parts: int, host: Target) -> None:
    workload = parse_workload(text)
    inputs = workload.random_inputs(seed=1)
    references = workload.reference(inputs)
    function = split_reduction(workload.prim_func(), block, axis, parts)
    (output,) = run_function(function, host, inputs, references)
    assert workload.tolerance().accepts(output, references[0])
    split = read_program(function).block(parts_block_name(block))
    assert split.extent("part") == parts


@pytest.mark.parametrize(
    ("text", "block", "axis", "width"),
    [
        ("reduce:op=sum,m=7,n=37,axis=0", "sum", "i", 16),
        ("reduce:op=max,m=7,n=37,axis=0", "max", "i", 8),
        ("gemm:m=2,n=37,k=5,epilogue=bias", "gemm", "j", 16),
        ("conv2d:h=5,w=5,ci=6,co=19,kh=3,kw=2,layout=nhwc", "conv2d", "co", 8),
    ],
)
def test_columns_apart(text: str, block: str, axis: str, width: int, host: Target) -> None:
    workload = parse_workload(text)
    inputs = workload.random_inputs(seed=1)
    references = workload.reference(inputs)
    function = peel_columns(workload.prim_func(), block, axis, width)
    (output,) = run_function(function, host, inputs, references)
    assert workload.tolerance().accepts(output, references[0])
    tail = read_program(function).block(tail_block_name(block))
    rest = read_program(workload.prim_func()).block(block).extent(axis) % width
    assert tail.extent(axis) == rest
    overlapping = peel_columns(workload.prim_func(), block, axis, width, overlap=width - rest)
    (output,) = run_function(overlapping, host, inputs, references)
    assert workload.tolerance().accepts(output, references[0])
    assert read_program(overlapping).block(tail_block_name(block)).extent(axis) == width


def test_what_cannot_be_cut_is_refused() -> None:
    function = parse_workload("gemm:m=3,n=16,k=12").prim_func()
    with pytest.raises(ScheduleError, match="into 5 parts"):
        split_reduction(function, "gemm", "k", 5)
    with pytest.raises(ScheduleError, match="along 'i'"):
        split_reduction(function, "gemm", "i", 3)
    with pytest.raises(ScheduleError, match="columns of block 'gemm'"):
        peel_columns(function, "gemm", "j", 8)
    with pytest.raises(ScheduleError, match="with 8 twice"):
        peel_columns(parse_workload("gemm:m=3,n=12,k=12").prim_func(), "gemm", "j", 8, overlap=8)
    with pytest.raises(
        ScheduleError, match="cannot peel columns of block 'other': the function has no such plain block"
    ):
        peel_columns(function, "other", "j", 8)
    facts = read_program(function).block("gemm")
    assert not has_columns(facts, "k", 8)


def test_nan_goes_through_parts_of_a_maximum(host: Target) -> None:
    workload = parse_workload("reduce:op=max,m=2,n=16")
    data = np.ones((2, 16), dtype=np.float32)
    data[0, 13] = np.nan
    function = split_reduction(workload.prim_func(), "max", "r", 4)
    (output,) = run_function(function, host, [data], [np.zeros(2, np.float32)])
    assert np.isnan(output[0])
    assert output[1] == 1


def test_combinations_that_are_known() -> None:
    program = read_program(parse_workload("softmax:rows=3,cols=5").prim_func())
    known = [block.name for block in program.blocks if block.reduce and combination(block.block.body) is not None]
    assert known == ["row_max", "row_sum"]
