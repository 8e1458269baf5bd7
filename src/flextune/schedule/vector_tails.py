"""Vector loops that may run over the end of an axis: whole vectors as they are, the last one element by element.

before:  for l in vectorized(16): if base + l < n: store(l)     (one guard a lane: nothing is a vector)
after:   if base + 15 < n:  for l in vectorized(16): store(l)
         else:              for l in unrolled(16): if base + l < n: store(l)
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import tvm
import tvm_ffi
from tvm import tirx
from tvm.s_tir import SBlock, SBlockRealize


def split_vector_tails(function: Any) -> Any:
    """The scheduled function with every guarded vector loop as the module text shows; the same where there is none."""
    body = tvm_ffi.structural_map(function.body, (tirx.For, _split))
    if body.same_as(function.body):
        return function
    return tirx.PrimFunc(list(function.params), body, function.ret_type, attrs=function.attrs)


def _split(loop: Any) -> Any:
    if loop.kind != tirx.ForKind.VECTORIZED or not isinstance(loop.body, SBlockRealize):
        return loop
    guards = list(_conjuncts(loop.body.predicate))
    of_lanes = [guard for guard in guards if _reads(guard, loop.loop_var)]
    if not of_lanes or any(_growth(guard, loop.loop_var) is None for guard in of_lanes):
        return loop
    last = loop.extent - 1
    whole = [tvm_ffi.structural_map(guard, (tirx.Var, _replacing({loop.loop_var: last}))) for guard in of_lanes]
    plain = [guard for guard in guards if not any(guard.same_as(other) for other in of_lanes)]
    realize = SBlockRealize(loop.body.iter_values, _all(plain), loop.body.block)
    vector = tirx.For(loop.loop_var, loop.min, loop.extent, loop.kind, realize)
    return tirx.IfThenElse(_all(whole), vector, _lane_by_lane(loop))


def _lane_by_lane(loop: Any) -> Any:
    """The loop with its guards, unrolled; nothing in it is shared with the other path."""
    block = loop.body.block
    fresh = {loop.loop_var: tirx.Var(f"{loop.loop_var.name}_tail", loop.loop_var.ty)}
    fresh |= {each.var: tirx.Var(str(each.var.name), each.var.ty) for each in block.iter_vars}

    def renamed(tree: Any) -> Any:
        return tvm_ffi.structural_map(tree, (tirx.Var, _replacing(fresh)))

    iterators = [tirx.IterVar(each.dom, fresh[each.var], each.iter_type) for each in block.iter_vars]
    regions = [
        [tirx.BufferRegion(region.source, [renamed(part) for part in region.region]) for region in side]
        for side in (block.reads, block.writes)
    ]
    copy = SBlock(iterators, *regions, f"{block.name_hint}_tail", renamed(block.body), annotations=block.annotations)
    values = [renamed(value) for value in loop.body.iter_values]
    realize = SBlockRealize(values, renamed(loop.body.predicate), copy)
    return tirx.For(fresh[loop.loop_var], loop.min, loop.extent, tirx.ForKind.UNROLLED, realize)


def _conjuncts(guard: Any) -> Iterator[Any]:
    if isinstance(guard, tirx.And):
        yield from _conjuncts(guard.a)
        yield from _conjuncts(guard.b)
    elif not isinstance(guard, tirx.IntImm):
        yield guard


def _growth(guard: Any, variable: Any) -> int | None:
    """By how much the left side of `a < b` grows per step of a variable that the right side does not read."""
    if not isinstance(guard, tirx.LT) or _reads(guard.b, variable):
        return None
    parts = tvm.sym.detect_linear_equation(guard.a, [variable])
    step = int(parts[0]) if len(parts) == 2 and isinstance(parts[0], tirx.IntImm) else 0
    return step if step > 0 else None


def _reads(tree: Any, variable: Any) -> bool:
    found: list[Any] = []
    tvm_ffi.structural_walk(tree, (tirx.Var, found.append))
    return any(each.same_as(variable) for each in found)


def _replacing(values: dict[Any, Any]) -> Any:
    return lambda variable: values.get(variable, variable)


def _all(guards: list[Any]) -> Any:
    result = tirx.const(1, "bool")
    for number, guard in enumerate(guards):
        result = guard if number == 0 else tirx.And(result, guard)
    return result
