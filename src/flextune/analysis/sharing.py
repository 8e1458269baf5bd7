"""Whether a block, or a program, is long enough for several cores: starting them takes as long as a small kernel."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping

import tvm_ffi
from tvm.ir import Call

from flextune.analysis.blocks import read_program
from flextune.analysis.footprint import dtype_bits
from flextune.analysis.program_facts import BlockFacts, BlockKind
from flextune.analysis.sizes_of_shapes import size_of
from flextune.analysis.symbols import symbols_of, with_sizes
from flextune.target.target import Target
from flextune.tvm_types import Expression, PrimFunc
from flextune.workload.dim_expr import DimExpr, Size, maximum

LAUNCH_CYCLES = 1000.0
"""What it takes each core to begin and end a parallel loop together with the others."""

_SIZE = 64
"""Any size will do to read a program with symbols."""

_FUNCTION_ELEMENTS = 10
"""An exponential or the like takes as long as so many elements that are only copied."""
_FUNCTIONS = frozenset(("acos", "asin", "atan", "cos", "cosh", "erf", "exp", "exp10", "exp2", "fmod", "log", "log10",
                        "log1p", "log2", "pow", "sigmoid", "sin", "sinh", "tan", "tanh"))  # fmt: skip


def is_worth_sharing(cycles: float) -> bool:
    """Whether a block of so many cycles on one core may gain anything when several cores share it."""
    return cycles > 2 * LAUNCH_CYCLES


def work_of(block: BlockFacts) -> int:
    """The elements that a block computes, as many as could be copied meanwhile."""
    return block.trips * _work_of_trip(block)


def _work_of_trip(block: BlockFacts) -> int:
    if block.kind is not BlockKind.ELEMENTWISE:
        return 1
    calls: list[Expression] = []
    tvm_ffi.structural_walk(block.block.body.value, (Call, calls.append))
    functions = sum(str(getattr(call.op, "name", "")).rpartition(".")[2] in _FUNCTIONS for call in calls)
    return 1 + _FUNCTION_ELEMENTS * functions


def cycles_to_share(function: PrimFunc, target: Target) -> DimExpr | None:
    """How much longer than worth it for one core a program is, over its symbols: 0 where one core is faster alone.

    None where nothing is known of it.
    """
    symbols = symbols_of(function)
    program = read_program(with_sizes(function, {str(symbol.name): _SIZE for symbol in symbols}))
    sizes: dict[Expression, Size] = {symbol: DimExpr.of(str(symbol.name)) for symbol in symbols}
    if program is None:
        return None
    elements: dict[int, DimExpr] = defaultdict(lambda: DimExpr.of(0))
    for block in program.blocks:
        trips = _trips(block, sizes)
        if trips is None or block.kind is BlockKind.OPAQUE:
            return None
        elements[target.vector_lanes(dtype_bits(block.output.dtype))] += trips * _work_of_trip(block)
    cycles = sum((count // lanes for lanes, count in elements.items()), start=DimExpr.of(0))
    return maximum(cycles - round(2 * LAUNCH_CYCLES), 0)


def _trips(block: BlockFacts, sizes: Mapping[Expression, Size]) -> DimExpr | None:
    found = [size_of(it.size, sizes) for it in block.iterators]
    known = [size for size in found if size is not None]
    return DimExpr.of(math.prod(known)) if len(known) == len(found) else None
