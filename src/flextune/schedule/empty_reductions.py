"""Reductions whose length is known only when the program runs: it may be 0, and then the result is the initial value.

before:  for k in range(n): if k == 0: S[i] = 0; S[i] += f(i, k)      (nothing is set where n is 0)
after:   S[i] = 0; for k in range(n): S[i] += f(i, k)
"""

from __future__ import annotations

import tvm_ffi
from tvm import tirx
from tvm.s_tir import SBlockRealize

from flextune.analysis.symbols import is_symbolic
from flextune.tvm_types import Schedule, Statement, Variable

_REDUCE = 2


def set_before_reducing(schedule: Schedule) -> None:
    """Split the initial value of every reduction over loops of symbolic length off, before these loops."""
    found: list[Statement] = []
    tvm_ffi.structural_walk(schedule.mod["main"].body, (SBlockRealize, found.append))
    for realize in found:
        if realize.block.init is not None:
            _set_before(schedule, realize)


def _set_before(schedule: Schedule, realize: Statement) -> None:
    reduced = _reduced_variables(realize)
    block = schedule.get_sblock(str(realize.block.name_hint))
    loops = [loop for loop in schedule.get_loops(block) if schedule.get(loop).loop_var in reduced]
    if any(is_symbolic(schedule.get(loop).extent) for loop in loops):
        schedule.decompose_reduction(block, loops[0])


def _reduced_variables(realize: Statement) -> frozenset[Variable]:
    """The loop variables that the iterators of a reduction are made of."""
    found: list[Variable] = []
    for value, iterator in zip(realize.iter_values, realize.block.iter_vars, strict=True):
        if int(iterator.iter_type) == _REDUCE:
            tvm_ffi.structural_walk(value, (tirx.Var, found.append))
    return frozenset(found)
