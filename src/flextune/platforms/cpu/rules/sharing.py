"""Whether a block is long enough for several cores: starting them takes as long as a small kernel."""

from __future__ import annotations

import tvm_ffi
from tvm.ir import Call

from flextune.analysis.program_facts import BlockFacts, BlockKind
from flextune.tvm_types import Expression

LAUNCH_CYCLES = 1000.0
"""What it takes each core to begin and end a parallel loop together with the others."""

_FUNCTION_ELEMENTS = 10
"""An exponential or the like takes as long as so many elements that are only copied."""
_FUNCTIONS = frozenset(("acos", "asin", "atan", "cos", "cosh", "erf", "exp", "exp10", "exp2", "fmod", "log", "log10",
                        "log1p", "log2", "pow", "sigmoid", "sin", "sinh", "tan", "tanh"))  # fmt: skip


def is_worth_sharing(cycles: float) -> bool:
    """Whether a block of so many cycles on one core may gain anything when several cores share it."""
    return cycles > 2 * LAUNCH_CYCLES


def work_of(block: BlockFacts) -> int:
    """The elements that a block computes, as many as could be copied meanwhile."""
    if block.kind is not BlockKind.ELEMENTWISE:
        return block.trips
    calls: list[Expression] = []
    tvm_ffi.structural_walk(block.block.body.value, (Call, calls.append))
    functions = sum(str(getattr(call.op, "name", "")).rpartition(".")[2] in _FUNCTIONS for call in calls)
    return block.trips * (1 + _FUNCTION_ELEMENTS * functions)
