"""Instructions that a trace names are those of its target's platform; for any other target the trace is refused."""

from __future__ import annotations

import pytest

from flextune.errors import ScheduleError
from flextune.platforms.x86.intrinsics import BF16, VNNI
from flextune.platforms.x86.rules import generate_space
from flextune.schedule.apply import apply_trace
from flextune.schedule.steps import Tensorize
from flextune.schedule.trace import Trace
from flextune.target.target import Target
from flextune.workload.parse import parse_workload

WITH = Target.parse("x86:cpu=cooperlake,cores=2,features=avx512+vnni+bf16")
WITHOUT = Target.parse("x86:avx512-generic")
OTHER = Target.parse("null:cpu=none,cores=1")


@pytest.mark.parametrize("dtype", ["uint8", "bfloat16"])
def test_a_trace_for_one_processor_is_refused_for_another(dtype: str) -> None:
    space = generate_space(parse_workload(f"gemm:m=32,n=64,k=64,dtype={dtype},weights=constant"), WITH)
    intrinsic = {"uint8": VNNI, "bfloat16": BF16}[dtype]
    script = apply_trace(space.workload, space.trace, space.default, WITH).module.script()
    assert ("vpdpbusd" in script) or ("dpbf16ps" in script)
    for target, message in (
        (WITHOUT, f"'{intrinsic.name}' needs {'vnni' if dtype == 'uint8' else 'bf16'}"),
        (OTHER, "targets of kind 'null' have no tensor intrinsic"),
        (None, "the trace is for no target"),
    ):
        with pytest.raises(ScheduleError, match=message):
            apply_trace(space.workload, space.trace, space.default, target)


def test_imported_code_is_refused_as_intrinsics_are() -> None:
    space = generate_space(parse_workload("gemm:m=32,n=64,k=64,dtype=bfloat16,weights=constant"), WITH)
    imported = Trace(tuple(step for step in space.trace.steps if not isinstance(step, Tensorize)))
    assert imported != space.trace
    for target, message in ((WITHOUT, "the code 'bf16_pairs' needs bf16"), (OTHER, "'null' have no code")):
        with pytest.raises(ScheduleError, match=message):
            apply_trace(space.workload, imported, space.default, target)
