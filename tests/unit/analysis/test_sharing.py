"""What is too short for several cores: of a program with symbols, at each size what its program for that size is."""

from __future__ import annotations

import pytest

from flextune.analysis.blocks import read_program
from flextune.analysis.footprint import dtype_bits
from flextune.analysis.sharing import cycles_to_share, is_worth_sharing, work_of
from flextune.target.detect import detect
from flextune.workload.symbolic_workload import SymbolicWorkload

WORKLOADS = {
    "layer_norm:rows=1..64,cols=768": ({"rows": 1}, {"rows": 13}, {"rows": 14}, {"rows": 64}),
    "softmax:rows=1..4096,cols=1..512": ({"rows": 1, "cols": 1}, {"rows": 9, "cols": 77}, {"rows": 4000, "cols": 500}),
    "gemm:m=1..512,n=64,k=64": ({"m": 1}, {"m": 8}, {"m": 9}, {"m": 512}),
    "conv2d:n=1..4,h=7..56,w=7..56,ci=3,co=8,kh=3,kw=3,stride=2,pad=1": (
        {"n": 1, "h": 7, "w": 9},
        {"n": 4, "h": 56, "w": 55},
    ),
}


@pytest.mark.parametrize("text", WORKLOADS)
def test_sizes_at_which_one_core_is_enough(text: str) -> None:
    workload, target = SymbolicWorkload.parse(text), detect()
    cycles = cycles_to_share(workload.prim_func(), target)
    assert cycles is not None
    shared = []
    for sizes in WORKLOADS[text]:
        program = read_program(workload.bind(sizes).prim_func())
        assert program is not None
        alone = sum(work_of(each) / target.vector_lanes(dtype_bits(each.output.dtype)) for each in program.blocks)
        found = cycles.bind(sizes)
        assert (found > 0) == is_worth_sharing(int(alone))
        shared.append(found > 0)
    assert not shared[0]
    assert shared[-1]
