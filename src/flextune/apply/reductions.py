"""Reductions over axes that may turn out to have no elements.

TVM gives a result its first value in the first iteration of the reduction. Where there is none, the result would be
whatever was in memory; so it gets its first value before the loops.
"""

from __future__ import annotations

import tvm_ffi
from tvm import s_tir, tirx
from tvm.s_tir import SBlockRealize

from flextune.apply.generic import SCHEDULE_FAILURES
from flextune.errors import BuildError
from flextune.tvm_types import PrimFunc, Variable


def starting_before_loops(function: PrimFunc) -> PrimFunc:
    """The function, in which results of reductions of unknown length are set before the reduction's outermost loop.

    BuildError where the schedule does not allow that.
    """
    reductions = _reduction_variables(function)
    if not reductions:
        return function
    schedule = s_tir.Schedule(function)
    for name, variables in reductions.items():
        block = schedule.get_sblock(name)
        loop = next(loop for loop in schedule.get_loops(block) if schedule.get(loop).loop_var in variables)
        try:
            schedule.decompose_reduction(block, loop)
        except SCHEDULE_FAILURES as error:
            raise BuildError(
                f"kernel {name} cannot be run on sizes of 0: {error}; raise the ranges' lower ends"
            ) from error
    return schedule.mod["main"].with_attrs(function.attrs)


def _reduction_variables(function: PrimFunc) -> dict[str, set[Variable]]:
    """For each block with a first value and a reduction of unknown length, the loop variables that reduce."""
    found: dict[str, set[Variable]] = {}

    def realize(node: SBlockRealize) -> None:
        axes = [
            (axis, value)
            for axis, value in zip(node.block.iter_vars, node.iter_values, strict=True)
            if axis.iter_type == tirx.IterVar.CommReduce
        ]
        if node.block.init is None or all(isinstance(axis.dom.extent, tirx.IntImm) for axis, _ in axes):
            return
        variables = found.setdefault(str(node.block.name_hint), set())
        for _, value in axes:
            tvm_ffi.structural_walk(value, [(tirx.Var, lambda variable: variables.add(variable))])

    tvm_ffi.structural_walk(function.body, [(SBlockRealize, realize)])
    return found
