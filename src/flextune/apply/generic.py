"""A schedule for any PrimFunc, for groups that no rule covers: inlined, parallel outside, vectors inside.

It tries one legal improvement at a time and keeps what the scheduler accepts, so it never fails and never changes the
result; at worst the program stays as it was.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from tvm import s_tir, tirx

from flextune.analysis.symbols import is_symbolic, symbols_of
from flextune.schedule.empty_reductions import set_before_reducing
from flextune.schedule.masked_vectors import has_masked_stores
from flextune.schedule.vector_tails import split_vector_tails
from flextune.target.target import Target

MAX_VECTOR_ELEMENTS = 64
"""Inner loops up to this extent become one vector operation when no multiple of the vector length fits."""

SCHEDULE_FAILURES = (RuntimeError, ValueError, TypeError)
"""TVM raises its schedule errors and internal checks as `RuntimeError`."""


def generic_schedule(function: tirx.PrimFunc, target: Target) -> tirx.PrimFunc:
    """The function with element-wise blocks inlined, outer loops parallel, inner ones vectorised where legal."""
    schedule = s_tir.Schedule(function)
    lanes = target.vector_lanes(32)
    for block in _blocks(schedule):
        schedule = _attempt(schedule, partial(_inline, name=block))
    for block in _blocks(schedule):
        schedule = _attempt(schedule, partial(_parallel_and_vector, name=block, lanes=lanes))
    set_before_reducing(schedule)
    masked = bool(symbols_of(function)) and has_masked_stores(target)
    return split_vector_tails(schedule.mod["main"], masked=masked)


def _attempt(schedule: s_tir.Schedule, change: Callable[[s_tir.Schedule], None]) -> s_tir.Schedule:
    trial = schedule.copy()
    try:
        change(trial)
    except SCHEDULE_FAILURES:
        return schedule
    return trial


def _blocks(schedule: s_tir.Schedule) -> list[str]:
    """Names of all blocks but the root, in program order."""
    root = schedule.get_sblock("root")
    return [schedule.get(block).name_hint for block in schedule.get_child_blocks(root)]


def _inline(schedule: s_tir.Schedule, name: str) -> None:
    """Inline a spatial block into its consumers, unless one of them is a reduction (it would be recomputed)."""
    block = schedule.get_sblock(name)
    consumers = schedule.get_consumers(block)
    if _is_spatial(schedule, block) and consumers and all(_is_spatial(schedule, consumer) for consumer in consumers):
        schedule.compute_inline(block)


def _is_spatial(schedule: s_tir.Schedule, block: Any) -> bool:
    return all(variable.iter_type == tirx.IterVar.DataPar for variable in schedule.get(block).iter_vars)


def _parallel_and_vector(schedule: s_tir.Schedule, name: str, lanes: int) -> None:
    block = schedule.get_sblock(name)
    spatial, reduction = _split_loops(schedule, block)
    if not spatial:
        return
    outer, vector = _vector_loop(schedule, spatial, lanes)
    if reduction and vector is not None:
        schedule.reorder(*outer, *reduction, vector)
    if outer:
        schedule.parallel(schedule.fuse(*outer))
    if vector is not None:
        schedule.vectorize(vector)
    if reduction:
        initial = schedule.decompose_reduction(block, reduction[0])
        if vector is not None:
            schedule.vectorize(schedule.get_loops(initial)[-1])


def _vector_loop(schedule: s_tir.Schedule, spatial: list[Any], lanes: int) -> tuple[list[Any], Any | None]:
    """(outer loops, loop to vectorise or None): the innermost one, split by the vector length where that divides it."""
    *outer, last = spatial
    if is_symbolic(schedule.get(last).extent):
        tile, vector = schedule.split(last, [None, lanes])
        return [*outer, tile], vector
    extent = int(schedule.get(last).extent)
    if extent % lanes == 0 and extent > lanes:
        tile, vector = schedule.split(last, [None, lanes])
        return [*outer, tile], vector
    if 1 < extent <= MAX_VECTOR_ELEMENTS:
        return outer, last
    return spatial, None


def _split_loops(schedule: s_tir.Schedule, block: Any) -> tuple[list[Any], list[Any]]:
    """The block's loops by kind; both empty unless every iterator is bound to exactly one loop, in order."""
    loops = schedule.get_loops(block)
    variables = schedule.get(block).iter_vars
    if len(loops) != len(variables):
        return [], []
    kinds = [variable.iter_type == tirx.IterVar.DataPar for variable in variables]
    if kinds != sorted(kinds, reverse=True):
        return [], []
    return (
        [loop for loop, is_spatial in zip(loops, kinds, strict=True) if is_spatial],
        [loop for loop, is_spatial in zip(loops, kinds, strict=True) if not is_spatial],
    )
