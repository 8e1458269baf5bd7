"""Vector loops that may run over the end of an axis: whole vectors as they are, the last one apart.

before:  for l in vectorized(16): if base + l < n: store(base + l)     (one guard a lane: nothing is a vector)
after:   for l in vectorized(16): if base + 15 < n: store(base + l)
         for l in vectorized(16): if not base + 15 < n: store(n - 16 + l)     (some elements twice; where n is
                                                         symbolic only if 16 <= n, else lane by lane as below)
         or, where 16 divides base, and n % 16 is 12 (from accumulators; nothing where it is 0):
         for l in vectorized(8): if base + 11 < n and not base + 15 < n: store(base + l)
         for l in vectorized(4): if base + 11 < n and not base + 15 < n: store(base + 8 + l)
         or, with masked stores: if not base + 15 < n: store(base .. base + 15) under a mask (`masked_vectors`)
         or: for l in unrolled(16): if base + l < n and not base + 15 < n: store(base + l)

All tests are guards of the blocks: from a branch around the loops TVM narrows the region of the accumulators to what
the branch reads, and misplaces them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import tvm
import tvm_ffi
from tvm import tirx
from tvm.s_tir import SBlock, SBlockRealize

from flextune.analysis.indices import mentions
from flextune.schedule.masked_vectors import masked_vector
from flextune.tvm_types import Block, Buffer, Expression, ForKind, PrimFunc, Statement, TirTree, Variable


def split_vector_tails(function: PrimFunc, *, masked: bool = False) -> PrimFunc:
    """The scheduled function with every guarded vector loop as the module text shows; the same where there is none.

    Where the processor has `masked` stores they take the place of storing lane by lane.
    """
    parameters = list(function.params)
    body = tvm_ffi.structural_map(function.body, (tirx.For, lambda loop: _split(loop, parameters, masked)))
    if body.same_as(function.body):
        return function
    return tirx.PrimFunc(list(function.params), body, function.ret_type, attrs=function.attrs)


def _split(loop: Statement, parameters: list[Buffer], masked: bool) -> Statement:
    if loop.kind != tirx.ForKind.VECTORIZED or not isinstance(loop.body, SBlockRealize):
        return loop
    guards = list(_conjuncts(loop.body.predicate))
    of_lanes = [guard for guard in guards if mentions(guard, loop.loop_var)]
    if not of_lanes or any(_growth(guard, loop.loop_var) is None for guard in of_lanes):
        return loop
    last = loop.extent - 1
    whole = [tvm_ffi.structural_map(guard, (tirx.Var, _replacing({loop.loop_var: last}))) for guard in of_lanes]
    plain = [guard for guard in guards if not any(guard.same_as(other) for other in of_lanes)]
    realize = SBlockRealize(loop.body.iter_values, _all([*plain, *whole]), loop.body.block)
    vector = tirx.For(loop.loop_var, loop.min, loop.extent, loop.kind, realize)
    beyond = [tirx.Not(_all(whole))]
    parts = _last_vector(loop, of_lanes, plain, beyond, parameters)
    if parts is None:
        parts = _shorter_vectors(loop, of_lanes, [*plain, *beyond])
    if parts is None and masked and len(of_lanes) == 1:
        parts = masked_vector(loop, of_lanes[0], _all([*plain, *beyond]))
    rest = parts if parts is not None else [_lane_by_lane(loop, beyond)]
    return tirx.SeqStmt([vector, *rest]) if rest else vector


def _last_vector(
    loop: Statement,
    of_lanes: list[Expression],
    plain: list[Expression],
    beyond: list[Expression],
    parameters: list[Buffer],
) -> list[Statement] | None:
    """The last whole vector of the axis, which computes some elements twice; None where that is not the same.

    An axis of symbolic length may be shorter than a vector: then it is computed lane by lane.
    """
    guard, copy = of_lanes[0], _Copy(loop)
    places = [place for place, value in enumerate(loop.body.iter_values) if mentions(value, loop.loop_var)]
    if len(of_lanes) != 1 or len(places) != 1 or not _may_repeat(loop.body.block, parameters):
        return None
    last = guard.b - loop.extent
    is_place = tvm_ffi.structural_equal(loop.body.iter_values[places[0]], guard.a)
    is_short = isinstance(last, tirx.IntImm) and int(last) < 0
    if not is_place or _growth(guard, loop.loop_var) != 1 or is_short:
        return None
    values = [copy.renamed(each) for each in loop.body.iter_values]
    values[places[0]] = last + copy.lane
    holds_one = [] if isinstance(last, tirx.IntImm) else [loop.extent <= guard.b]
    guards = [copy.renamed(each) for each in (*plain, *beyond, *holds_one)]
    vector = copy.loop(SBlockRealize(values, _all(guards), copy.block()), loop.kind)
    return [vector, *(_lane_by_lane(loop, [*beyond, tirx.Not(each)]) for each in holds_one)]


def _may_repeat(block: Block, parameters: list[Buffer]) -> bool:
    """Whether elements may be computed again: what they were computed from is still there.

    TVM may put the result of a block into the memory of what it reads for the last time, unless one of them is a
    parameter. Indices into accumulators in registers must be constants, which these are not. What reads nothing may set
    elements before others are added to them: once more would be after that.
    """

    def is_parameter(buffer: Buffer) -> bool:
        return any(buffer.same_as(parameter) for parameter in parameters)

    read, written = ([region.source for region in side] for side in (block.reads, block.writes))
    apart = all(is_parameter(buffer) for buffer in read) or all(is_parameter(buffer) for buffer in written)
    updated = any(source.same_as(result) for source in read for result in written)
    in_memory = all(str(buffer.scope()) != "local" for buffer in (*read, *written))
    return apart and in_memory and bool(read) and not updated and block.init is None


def _shorter_vectors(loop: Statement, of_lanes: list[Expression], plain: list[Expression]) -> list[Statement] | None:
    """The elements that are left, in vectors of descending powers of two; None where their number is not known."""
    guard, lanes = of_lanes[0], int(loop.extent)
    if len(of_lanes) != 1 or _growth(guard, loop.loop_var) != 1 or not isinstance(guard.b, tirx.IntImm):
        return None
    base = tvm_ffi.structural_map(guard.a, (tirx.Var, _replacing({loop.loop_var: loop.min})))
    multiple = tvm.sym.Analyzer().modular_set(base)
    if multiple.coeff % lanes or multiple.base % lanes:
        return None
    left, done, parts = int(guard.b) % lanes, 0, []
    guards = [*plain, base + (left - 1) < guard.b]
    while done < left:
        length = 1 << ((left - done).bit_length() - 1)
        copy = _Copy(loop)
        shifted = _replacing({**copy.fresh, loop.loop_var: copy.lane + done})
        values = [tvm_ffi.structural_map(value, (tirx.Var, shifted)) for value in loop.body.iter_values]
        kind = loop.kind if length > 1 else tirx.ForKind.UNROLLED
        parts.append(copy.loop(SBlockRealize(values, _all(guards), copy.block()), kind, length))
        done += length
    return parts


def _lane_by_lane(loop: Statement, beyond: list[Expression]) -> Statement:
    """The loop with its guards, unrolled."""
    copy = _Copy(loop)
    values = [copy.renamed(value) for value in loop.body.iter_values]
    realize = SBlockRealize(values, _all([copy.renamed(loop.body.predicate), *beyond]), copy.block())
    return copy.loop(realize, tirx.ForKind.UNROLLED)


class _Copy:
    """A second form of a vector loop and its block; it shares no variable with the first."""

    def __init__(self, loop: Statement) -> None:
        self.source, block = loop, loop.body.block
        self.fresh = {loop.loop_var: tirx.Var(f"{loop.loop_var.name}_tail", loop.loop_var.ty)}
        self.fresh |= {each.var: tirx.Var(str(each.var.name), each.var.ty) for each in block.iter_vars}

    @property
    def lane(self) -> Expression:
        return self.fresh[self.source.loop_var]

    def renamed(self, tree: TirTree) -> TirTree:
        return tvm_ffi.structural_map(tree, (tirx.Var, _replacing(self.fresh)))

    def block(self) -> Block:
        block = self.source.body.block
        iterators = [tirx.IterVar(each.dom, self.fresh[each.var], each.iter_type) for each in block.iter_vars]
        regions = [
            [tirx.BufferRegion(region.source, [self.renamed(part) for part in region.region]) for region in side]
            for side in (block.reads, block.writes)
        ]
        name = f"{block.name_hint}_tail"
        return SBlock(iterators, *regions, name, self.renamed(block.body), annotations=block.annotations)

    def loop(self, body: Statement, kind: ForKind, extent: int | None = None) -> Statement:
        return tirx.For(self.lane, self.source.min, extent or self.source.extent, kind, body)


def _conjuncts(guard: Expression) -> Iterator[Expression]:
    if isinstance(guard, tirx.And):
        yield from _conjuncts(guard.a)
        yield from _conjuncts(guard.b)
    elif not isinstance(guard, tirx.IntImm):
        yield guard


def _growth(guard: Expression, variable: Variable) -> int | None:
    """By how much the left side of `a < b` grows per step of a variable that the right side does not read."""
    if not isinstance(guard, tirx.LT) or mentions(guard.b, variable):
        return None
    parts = tvm.sym.detect_linear_equation(guard.a, [variable])
    step = int(parts[0]) if len(parts) == 2 and isinstance(parts[0], tirx.IntImm) else 0
    return step if step > 0 else None


def _replacing(values: dict[Variable, Expression]) -> Callable[[Variable], Expression]:
    return lambda variable: values.get(variable, variable)


def _all(guards: list[Expression]) -> Expression:
    result = tirx.const(1, "bool")
    for number, guard in enumerate(guards):
        result = guard if number == 0 else tirx.And(result, guard)
    return result
