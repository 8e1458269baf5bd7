"""Prefix sums in blocks are those of the whole rows, and are refused for other blocks."""

from __future__ import annotations

import pytest

from flextune.analysis.blocks import read_program
from flextune.errors import ScheduleError
from flextune.schedule.blocked_scan import block_scan, prefix_sum
from flextune.target.target import Target
from flextune.testing.programs import run_function
from flextune.workload import parse_workload


@pytest.mark.parametrize(
    ("text", "width"),
    [
        ("scan:m=3,n=32,k=32", 8),
        ("scan:m=3,n=37,k=37", 8),
        ("scan:m=2,n=40,k=11", 4),
        ("scan:m=2,n=12,k=100", 4),
        ("scan:m=3,n=48,k=48,dtype=uint8", 16),
        ("scan:m=1,n=5,k=5", 8),
    ],
)
def test_blocks_add_up(text: str, width: int, host: Target) -> None:
    workload = parse_workload(text)
    inputs = workload.random_inputs(seed=1)
    references = workload.reference(inputs)
    function = block_scan(workload.prim_func(), "scan", width)
    (output,) = run_function(function, host, inputs, references)
    assert workload.tolerance().accepts(output, references[0])


def test_other_blocks_are_refused() -> None:
    function = parse_workload("reduce:op=sum,m=3,n=16").prim_func()
    assert prefix_sum(read_program(function)) is None
    with pytest.raises(ScheduleError, match="no prefix sum"):
        block_scan(function, "sum", 4)
    with pytest.raises(ScheduleError, match="no such plain block"):
        block_scan(function, "scan", 4)


def test_work_grows_with_the_length() -> None:
    """A row of 4096 takes a hundredth of the additions that the sum over all pairs takes."""
    function = parse_workload("scan:m=1,n=4096,k=4096").prim_func()
    blocked = read_program(block_scan(function, "scan", 64))
    whole = read_program(function).block("scan").trips
    assert sum(block.trips for block in blocked.blocks) < whole / 50
