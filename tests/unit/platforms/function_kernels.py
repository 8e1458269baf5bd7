"""A kernel that calls every function that x86 computes in its own way; this file loads no platform.

Run with targets of TVM as JSON, it writes their code as JSON: that of a process that never loaded one.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping

import tvm
from tvm import te, tirx

from flextune.tvm_types import Expression, IRModule
from flextune.workload.rounding import bfloat16_of

TargetValues = Mapping[str, object]


def kernel_of_all_functions() -> IRModule:
    """Vectors of 16 lanes."""
    a = te.placeholder((64,), "float32", name="a")

    def total(i: Expression) -> Expression:
        x = a[i]
        values = (tirx.exp(x), tirx.tanh(x), tirx.log(x), tirx.pow(x, x + 0.5), tirx.sigmoid(x), tirx.exp10(x))
        return tirx.Select(tirx.isnan(x), x, sum(values[1:], values[0]))

    results = (
        te.compute((64,), total, name="total"),
        te.compute((64,), lambda i: tirx.erf(a[i]), name="error_function"),
        te.compute((64,), lambda i: bfloat16_of(a[i]), name="rounded"),
    )
    schedule = tvm.s_tir.Schedule(te.create_prim_func([a, *results]))
    for result in results:
        (loop,) = schedule.get_loops(schedule.get_sblock(result.op.name))
        schedule.vectorize(schedule.split(loop, [None, 16])[1])
    return schedule.mod


def code_for(target: TargetValues, form: str = "asm") -> str:
    """The kernel as assembly or as LLVM's text (`ll`, which holds addresses of this process), by TVM alone."""
    built = tvm.compile(kernel_of_all_functions(), target=tvm.target.Target(dict(target)))
    return str(built.mod.inspect_source(form))


if __name__ == "__main__":
    json.dump([code_for(target) for target in json.loads(sys.argv[1])], sys.stdout)
    assert not [name for name in sys.modules if name.startswith("flextune.platforms")]
