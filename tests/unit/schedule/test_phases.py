"""Transposed convolutions by phases compute what the spread image gives, and multiply no zeros between elements."""

from __future__ import annotations

import pytest

from flextune.analysis.blocks import read_program
from flextune.errors import ScheduleError
from flextune.schedule.phases import split_phases, spread_convolution
from flextune.target.target import Target
from flextune.testing.programs import run_function
from flextune.workload import parse_workload

CASES = {
    "kernel as long as the stride": "conv2d_transpose:h=4,w=5,ci=3,co=4,kh=2,kw=2,stride=2",
    "nothing cut off": "conv1d_transpose:w=7,ci=3,co=4,kw=4,stride=2,pad=2",
    "odd kernel, cut at both ends": "conv2d_transpose:n=2,h=4,w=5,ci=3,co=4,kh=3,kw=5,stride=2,pad=1x2,epilogue=bias",
    "more room behind": "conv2d_transpose:h=3,w=3,ci=2,co=4,kh=5,kw=3,stride=5,output_padding=4,layout=nhwc",
    "one axis alone": "conv2d_transpose:h=4,w=5,ci=3,co=4,kh=3,kw=2,stride=3x1,dilation=1x2,pad=0x2,dtype=uint8",
    "kernel shorter than the stride": "conv1d_transpose:w=5,ci=3,co=4,kw=1,stride=3,output_padding=2",
    "pads cut whole elements off": "conv1d_transpose:w=9,ci=2,co=3,kw=2,stride=2,pad=5x1",
    "groups": "conv2d_transpose:h=4,w=3,ci=4,co=6,kh=3,kw=3,stride=2,groups=2,dtype=bfloat16",
    "a group for each channel": "conv2d_transpose:h=4,w=3,ci=4,co=4,kh=3,kw=3,stride=2,groups=4",
    "three dimensions": "conv3d_transpose:d=2,h=3,w=4,ci=2,co=3,kd=2,kh=3,kw=4,stride=2x2x3,pad=0x1x1",
    "one channel": "conv2d_transpose:h=4,w=4,ci=1,co=1,kh=3,kw=3,stride=2",
    "one channel, channels last": "conv2d_transpose:h=1,w=4,ci=1,co=1,kh=3,kw=3,stride=2,layout=nhwc",
}


@pytest.mark.parametrize("name", CASES)
def test_same_results_without_zeros(name: str, host: Target) -> None:
    workload = parse_workload(CASES[name])
    inputs = workload.random_inputs(seed=1)
    references = workload.reference(inputs)
    function = split_phases(workload.prim_func(), workload.operator)
    (output,) = run_function(function, host, inputs, references)
    assert workload.tolerance().accepts(output, references[0])
    spread = read_program(workload.prim_func()).block(workload.operator)
    phased = read_program(function).block(workload.operator)
    assert phased.trips <= spread.trips


@pytest.mark.parametrize(
    "text",
    [
        "conv2d_transpose:h=4,w=4,ci=2,co=2,kh=3,kw=3",
        "conv2d_transpose:h=4,w=4,ci=2,co=2,kh=3,kw=3,stride=2,dilation=2",
        "conv2d:h=4,w=4,ci=2,co=2,kh=3,kw=3,stride=2,pad=1",
    ],
)
def test_others_are_left(text: str) -> None:
    workload = parse_workload(text)
    function = workload.prim_func()
    assert spread_convolution(read_program(function)) is None
    with pytest.raises(ScheduleError, match="no transposed convolution with a stride"):
        split_phases(function, workload.operator)
