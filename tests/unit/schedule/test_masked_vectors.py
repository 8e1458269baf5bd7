from __future__ import annotations

import numpy as np
import pytest
import tvm

from flextune.aligned import aligned_empty
from flextune.platforms import platform_registry as platforms
from flextune.platforms.symbolic_kernels import applied, space_at
from flextune.schedule.apply import ScheduledProgram
from flextune.target.detect import detect
from flextune.target.target import Target
from flextune.workload.symbolic_workload import SymbolicWorkload

AT = {"m": 24, "n": 53}


def scheduled(workload: SymbolicWorkload, target: Target) -> ScheduledProgram:
    """The workload by the default schedule of these sizes, of which no vector divides the columns."""
    function = workload.prim_func().with_attr("global_symbol", "main")
    space = space_at(function, AT, (), target)
    return applied(function, AT, space.trace, space.default, (), target)


@pytest.mark.parametrize("epilogue", ["none", "bias", "add", "bias+add+relu"])
def test_the_end_of_a_row_is_stored_under_a_mask_and_nothing_behind_it(epilogue: str) -> None:
    """Products with symbolic columns, whose sums read a row of parameters under the mask too."""
    target = detect()
    if not target.has("avx2"):
        pytest.skip("this processor has no masked stores")
    chain = "" if epilogue == "none" else f",epilogue={epilogue}"
    workload = SymbolicWorkload.parse(f"gemm:m=1..64,n=1..96,k=20{chain}")
    program = scheduled(workload, target)
    assert "llvm.masked.store" in program.module.script()
    kernel = platforms.compiler(target.kind).compile(program.module, target).jit()
    for m, n in [(1, 1), (3, 15), (5, 16), (7, 17), (24, 53), (33, 96), (64, 79)]:
        static = workload.bind({"m": m, "n": n})
        inputs = static.random_inputs(0)
        memory = aligned_empty((m * n + 64,), np.float32)
        memory[:] = 7.0
        given = [tvm.runtime.tensor(each) for each in inputs]
        kernel["main"](*given, tvm.runtime.from_dlpack(memory[: m * n].reshape(m, n)))
        np.testing.assert_allclose(memory[: m * n].reshape(m, n), static.reference(inputs)[0], atol=1e-4)
        assert (memory[m * n :] == 7.0).all()


def test_targets_without_masked_stores_have_none() -> None:
    workload = SymbolicWorkload.parse("gemm:m=1..64,n=1..96,k=20")
    target = Target.parse("x86:cpu=nehalem,cores=2,features=sse4")
    assert "masked" not in scheduled(workload, target).module.script()
