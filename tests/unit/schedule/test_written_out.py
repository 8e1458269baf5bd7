"""Short sums written out: the same results from an element-wise block, and what is no such sum."""

from __future__ import annotations

import numpy as np
import pytest

from flextune.analysis.blocks import read_program
from flextune.analysis.program_facts import BlockKind, ProgramFacts
from flextune.errors import ScheduleError
from flextune.schedule.written_out import MOST_TERMS, is_short_sum, write_out
from flextune.target.target import Target
from flextune.testing.programs import run_function
from flextune.workload import parse_workload


def facts_of(function: object) -> ProgramFacts:
    program = read_program(function)
    assert program is not None
    return program


@pytest.mark.parametrize(
    "text",
    [
        "depthwise:h=6,w=5,c=3,kh=3,kw=3,pad=1,layout=nhwc",
        "depthwise:h=7,w=5,c=4,kh=5,kw=2,stride=2,layout=nhwc",
        "gemm:m=4,n=3,k=5",
        "gemm:m=4,n=3,k=1",
    ],
)
def test_a_sum_that_is_written_out_computes_the_same(text: str, host: Target) -> None:
    workload = parse_workload(text)
    function = workload.prim_func()
    block = next(each for each in facts_of(function).blocks if each.factors)
    written = write_out(function, block.name)
    after = facts_of(written).block(block.name)
    assert after.kind is BlockKind.ELEMENTWISE
    assert [it.name for it in after.iterators] == [it.name for it in block.spatial]
    inputs = workload.random_inputs(0)
    expected = workload.reference(inputs)
    got = run_function(written, host, inputs, expected)
    np.testing.assert_allclose(got[0], expected[0], rtol=1e-5, atol=1e-5)


def test_only_short_sums_of_products_are_written_out() -> None:
    long = parse_workload(f"gemm:m=4,n=3,k={MOST_TERMS + 1}").prim_func()
    largest = parse_workload("pool2d:kind=max,h=6,w=6,c=4,kh=2,kw=2,layout=nhwc").prim_func()
    for function in (long, largest):
        name = facts_of(function).blocks[-1].name
        assert not is_short_sum(facts_of(function).block(name))
        with pytest.raises(ScheduleError, match="no such sum of at most 49"):
            write_out(function, name)
