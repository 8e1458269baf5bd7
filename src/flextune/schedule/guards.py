"""Guards that do not change in the loops around a block are tested before these loops.

before:  for tile: for k: for i in range(6): if tile < tiles: C[6 * tile + i] += f(i, k)
after:   for tile: if tile < tiles: for k: for i in range(6): C[6 * tile + i] += f(i, k)

Where the number of tiles is symbolic, the last core's share may have fewer of them than loops run over. TVM guards each
element then, and a tensor intrinsic replaces nothing that is guarded.
"""

from __future__ import annotations

import itertools

import tvm_ffi
from tvm import tirx
from tvm.s_tir import SBlockRealize

from flextune.tvm_types import BlockHandle, Expression, Schedule, Statement, Variable


def hoist_guards(schedule: Schedule, block: BlockHandle) -> None:
    """Give the loops around a block that its guards do not read, the outermost of them, a block that has the guards.

    Nothing is done where there is no such loop, or where that holds something else too.
    """
    loops = list(schedule.get_loops(block))
    realize = schedule.get(loops[-1]).body if loops else None
    if not isinstance(realize, SBlockRealize) or isinstance(realize.predicate, tirx.IntImm):
        return
    read = _variables(realize.predicate)
    free = list(itertools.takewhile(lambda loop: _is_free(schedule.get(loop), read), reversed(loops)))
    if free:
        schedule.blockize(free[-1])


def _is_free(loop: Statement, read: frozenset[Variable]) -> bool:
    """Whether a loop holds one thing only, and guards do not read its variable."""
    return isinstance(loop.body, tirx.For | SBlockRealize) and loop.loop_var not in read


def _variables(tree: Expression) -> frozenset[Variable]:
    found: list[Variable] = []
    tvm_ffi.structural_walk(tree, (tirx.Var, found.append))
    return frozenset(found)
