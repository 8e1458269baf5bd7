"""What users see of a space: its problem, and one schedule as Python, on a target that is fixed here."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from flextune.csp import Eq
from flextune.platforms.x86.rules import generate_space
from flextune.target.target import Target
from flextune.workload import parse_workload

TARGET = Target.parse("x86:cpu=znver4,cores=2,features=avx512+vnni+bf16,l1=32768,l2=1048576,l3=33554432")

CASES: dict[str, tuple[str, dict[str, int]]] = {
    "gemm": (
        "gemm:m=32,n=64,k=16,epilogue=bias+relu",
        {
            "tile_i": 4,
            "vectors": 2,
            "lanes": 16,
            "unroll": 2,
            "grid_order": 1,
            "cache_order": 0,
            "pack": 1,
            "cache_i": 4,
            "grid_i": 2,
            "cache_j": 1,
            "grid_j": 2,
        },
    ),
    "conv2d": (
        "conv2d:h=7,w=7,ci=8,co=32,kh=3,kw=3,pad=1,layout=nhwc,dtype=uint8,epilogue=bias",
        {
            "tile_oh": 2,
            "tile_ow": 7,
            "vectors": 2,
            "lanes": 16,
            "unroll": 1,
            "grid_order": 0,
            "cache_order": 1,
            "cache_oh": 2,
            "grid_oh": 2,
            "cache_ow": 1,
            "grid_ow": 1,
            "cache_co": 1,
            "grid_co": 1,
            "at_pad": 0,
        },
    ),
    "softmax": (
        "softmax:rows=16,cols=37",
        {"lanes_row_max_main": 32, "lanes_row_sum_main": 16, "rows_per_task": 4},
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_space_and_schedule(name: str, golden: Callable[[str, str], None]) -> None:
    text, choices = CASES[name]
    space = generate_space(parse_workload(text), TARGET)
    (member,) = space.solutions.restrict([Eq(variable, value) for variable, value in choices.items()]).enumerate()
    golden(f"{name}.problem.txt", f"{space.problem}\n")
    golden(f"{name}.schedule.txt", f"# {space.workload}\n# {member}\n{space.trace.python(member)}\n")
