"""Loops with steps that do nothing, so that their length can be divided.

before:  for i in range(14): B(i)                      after:  for i in range(16): if i < 14: B(i)

TVM's `split` pads a loop by itself when the factors do not divide it. It first tries to prove that the guard is not
needed, which it always is, and sets up an SMT solver for that, which takes as long as all else in a schedule.
"""

from __future__ import annotations

from tvm import tirx
from tvm.s_tir import SBlockRealize

from flextune.tvm_types import Expression, LoopHandle, Schedule, Statement

_MOST_STEPS = 2**31 - 1


def lengthen(schedule: Schedule, loop: LoopHandle, factor: int, *, open_ended: bool) -> None:
    """Makes the steps of `loop` a multiple of `factor`, or just `factor` where the split is not `open_ended`.

    Loops of unknown length stay as they are, and so do those that hold anything but loops and blocks, and those whose
    steps could no longer be counted.
    """
    old = schedule.get(loop)
    if not isinstance(old.extent, tirx.IntImm):
        return
    steps = -(-int(old.extent) // factor) * factor if open_ended else factor
    longer = int(old.extent) < steps <= _MOST_STEPS
    body = _guarded(old.body, old.loop_var < old.extent) if longer else None
    if body is not None:
        extent = tirx.IntImm(old.extent.ty.dtype, steps)
        schedule.state.replace(schedule.get_sref(loop), _loop(old, extent, body))


def _guarded(statement: Statement, guard: Expression) -> Statement:
    """The statement with `guard` for all of its blocks; None where something else is in it."""
    if isinstance(statement, SBlockRealize):
        always = isinstance(statement.predicate, tirx.IntImm)
        predicate = guard if always else tirx.And(statement.predicate, guard)
        return SBlockRealize(statement.iter_values, predicate, statement.block)
    if isinstance(statement, tirx.SeqStmt):
        parts = [_guarded(each, guard) for each in statement]
        return None if any(part is None for part in parts) else tirx.SeqStmt(parts)
    if isinstance(statement, tirx.For):
        body = _guarded(statement.body, guard)
        return None if body is None else _loop(statement, statement.extent, body)
    return None


def _loop(old: Statement, extent: Expression, body: Statement) -> Statement:
    return tirx.For(old.loop_var, old.min, extent, old.kind, body, old.thread_binding, old.annotations, old.step)
