"""The order in which a program without a schedule runs through its sums.

Tensor expressions put the axes of a sum innermost, where a compiler may not reorder additions of floats and so adds one
at a time. With the axis innermost along which results lie side by side, neighbours are added at the same time: every
result is the same, from the same terms in the same order, several times sooner. This is written on its own and uses
none of TVM's schedule primitives: references are computed with it, and share nothing with the kernels they check.
"""

from __future__ import annotations

import tvm
import tvm_ffi
from tvm import s_tir, tirx
from tvm.ir import TensorLoad

from flextune.tvm_types import Block, Expression, PrimFunc, Statement, Variable

_SPATIAL_AXIS = 0


def results_innermost(function: PrimFunc) -> PrimFunc:
    """The same function with the loop over neighbouring results innermost in every sum where all reads allow it.

    That is where each operand is read side by side as well along this axis, or does not depend on it.
    """
    realize = function.body
    if not isinstance(realize, s_tir.SBlockRealize):
        return function
    root = realize.block
    whole = root.body
    parts = list(whole) if isinstance(whole, tirx.SeqStmt) else [whole]
    moved = [_moved(part) for part in parts]
    if all(new is old for new, old in zip(moved, parts, strict=True)):
        return function
    body = moved[0] if len(moved) == 1 else tirx.SeqStmt(moved)
    block = s_tir.SBlock(
        root.iter_vars, root.reads, root.writes, root.name_hint, body, root.init, root.alloc_buffers,
        root.match_buffers, root.annotations,
    )  # fmt: skip
    return function.with_body(s_tir.SBlockRealize(realize.iter_values, realize.predicate, block))


def _moved(nest: Statement) -> Statement:
    """The nest with the loop over neighbouring results last; as it is where it is no plain sum."""
    loops: list[Statement] = []
    inner = nest
    while isinstance(inner, tirx.For):
        loops.append(inner)
        inner = inner.body
    if not isinstance(inner, s_tir.SBlockRealize) or not all(_is_plain(loop) for loop in loops):
        return nest
    variable = _neighbour(inner.block)
    if variable is None:
        return nest
    at = [iterator.var.same_as(variable) for iterator in inner.block.iter_vars].index(True)
    place = next((i for i, loop in enumerate(loops) if loop.loop_var.same_as(inner.iter_values[at])), None)
    if place is None or place == len(loops) - 1:
        return nest
    for loop in (loops[place], *reversed(loops[:place] + loops[place + 1 :])):
        inner = tirx.For(loop.loop_var, loop.min, loop.extent, loop.kind, inner)
    return inner


def _is_plain(loop: Statement) -> bool:
    """Serial, from and to numbers, so that the loops of a nest can be in any order."""
    numbers = isinstance(loop.min, tirx.IntImm) and isinstance(loop.extent, tirx.IntImm)
    return numbers and loop.kind == tirx.ForKind.SERIAL and not loop.annotations


def _neighbour(block: Block) -> Variable | None:
    """The axis along which results lie side by side, where every operand does as well or does not depend on it."""
    store = block.body
    if block.init is None or not isinstance(store, tirx.BufferStore) or not store.indices:
        return None
    spatial = [each.var for each in block.iter_vars if int(each.iter_type) == _SPATIAL_AXIS]
    variable = next((each for each in spatial if each.same_as(store.indices[-1])), None)
    if variable is None:
        return None
    loads: list[Expression] = []
    tvm_ffi.structural_walk(store.value, (TensorLoad, loads.append))
    return variable if all(_side_by_side(load, variable) for load in loads) else None


def _side_by_side(load: Expression, variable: Variable) -> bool:
    """Whether the next value of the variable reads the next element, or the same one."""
    *outer, last = load.indices
    if any(_slope(index, variable) != 0 for index in outer):
        return False
    return _slope(last, variable) in (0, 1)


def _slope(index: Expression, variable: Variable) -> int | None:
    """By how much an index grows with the variable; None where it is not linear in it."""
    coefficients = tvm.sym.detect_linear_equation(index, [variable])
    if not coefficients or not isinstance(coefficients[0], tirx.IntImm):
        return None
    return int(coefficients[0])
