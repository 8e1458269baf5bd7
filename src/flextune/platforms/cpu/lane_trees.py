"""Partial results in lanes, combined half with half instead of one after the other.

A reduction along a row keeps a partial result per lane and combines them at the end of the row. One after the other, 16
lanes are 16 dependent additions, longer than the rest of a short row takes. A pass in front of code generation writes

before:  for l in range(16): total = total + part[l]          (which starts at the identity)
after:   for l in vectorized(8): half[l] = part[l] + part[l + 8]
         for l in vectorized(4): quarter[l] = half[l] + half[l + 4]
         total = (quarter[0] + quarter[2]) + (quarter[1] + quarter[3])

Sums of floats round differently then, as they do for every other number of lanes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import tvm_ffi
from tvm import tirx
from tvm.ir import Range, TensorLoad
from tvm.s_tir import SBlock, SBlockRealize

from flextune.analysis.indices import mentions
from flextune.tvm_types import Buffer, BufferLoad, BufferRegion, Expression, Statement, Variable

_LEAST_LANES = 4
_WRITTEN_OUT = 4
"""So many results are combined as one expression."""

_REDUCE_AXIS = 2


def lanes_combined_in_halves(body: Statement) -> Statement:
    """A kernel's body in which lanes are combined in a tree wherever they are known to be partial results.

    That is: in local memory, side by side, each read once and in order, by a block that does nothing else.
    """
    return tvm_ffi.structural_map(body, (tirx.For, _combined))


def _combined(loop: Statement) -> Statement:
    found = _lanes_of(loop)
    return loop if found is None else found.statement()


def _lanes_of(loop: Statement) -> _Lanes | None:
    """What a loop over lanes combines; None where it is something else."""
    if not _is_serial(loop) or int(loop.extent) < _LEAST_LANES or int(loop.extent) & (int(loop.extent) - 1):
        return None
    inside: list[Statement] = []
    inner = loop.body
    while isinstance(inner, tirx.For):
        if not _is_serial(inner) or int(inner.extent) != 1:
            return None
        inside.append(inner)
        inner = inner.body
    if not isinstance(inner, SBlockRealize) or not _is_always(inner.predicate):
        return None
    block = inner.block
    reduced = [it for it in block.iter_vars if int(it.iter_type) == _REDUCE_AXIS]
    bound = [value for it, value in zip(block.iter_vars, inner.iter_values, strict=True) if it in reduced]
    if len(reduced) != 1 or not bound[0].same_as(loop.loop_var) or block.init is None or len(block.alloc_buffers):
        return None
    store = block.body
    if not isinstance(store, tirx.BufferStore):
        return None
    loads: list[BufferLoad] = []
    tvm_ffi.structural_walk(store.value, (TensorLoad, loads.append))
    part = next((load for load in loads if _is_lane(load, reduced[0].var)), None)
    total = next((load for load in loads if load.source.same_as(store.buffer)), None)
    if part is None or total is None or len(loads) < 2 or not all(_is_either(load, part, total) for load in loads):
        return None
    if not tvm_ffi.structural_equal(list(total.indices), list(store.indices)):
        return None
    if _reads(store.value, reduced[0].var):
        return None
    return _Lanes(loop, inside, inner, reduced[0].var, part, total)


def _is_serial(loop: Statement) -> bool:
    constant = isinstance(loop.extent, tirx.IntImm) and isinstance(loop.min, tirx.IntImm) and int(loop.min) == 0
    return constant and loop.kind == tirx.ForKind.SERIAL and not loop.annotations


def _is_always(predicate: Expression) -> bool:
    return isinstance(predicate, tirx.IntImm) and bool(int(predicate))


def _is_lane(load: BufferLoad, lane: Variable) -> bool:
    """Whether it is the local partial result of a lane, which is the last index."""
    *outer, last = load.indices
    return str(load.source.scope()) == "local" and last.same_as(lane) and not any(mentions(i, lane) for i in outer)


def _is_either(load: BufferLoad, part: BufferLoad, total: BufferLoad) -> bool:
    return any(tvm_ffi.structural_equal(load, each, map_free_vars=False) for each in (part, total))


def _reads(value: Expression, lane: Variable) -> bool:
    """Whether a value depends on the lane otherwise than by what it loads."""
    without = tvm_ffi.structural_map(value, (TensorLoad, lambda load: tirx.const(0, str(load.ty))))
    return mentions(without, lane)


@dataclass(frozen=True, slots=True, eq=False)
class _Lanes:
    """A loop over lanes that combines their partial results."""

    loop: Statement
    inside: Sequence[Statement]
    """Loops of one iteration between it and its block, outermost first."""
    realize: Statement
    """Where the block is."""
    lane: Variable
    """The block's iterator over lanes."""
    part: BufferLoad
    """The partial result of one lane, as the block reads it."""
    total: BufferLoad
    """What it is combined with."""

    def statement(self) -> Statement:
        """The block as a tree, in what is left of the loops."""
        block = self.realize.block
        kept = [place for place, it in enumerate(block.iter_vars) if not it.var.same_as(self.lane)]
        steps, buffers = self._steps()
        tree = SBlock(
            [block.iter_vars[place] for place in kept],
            [self._region(region) for region in block.reads],
            list(block.writes),
            block.name_hint,
            tirx.SeqStmt(steps) if len(steps) > 1 else steps[0],
            alloc_buffers=buffers,
            annotations=block.annotations,
        )
        whole: Statement = SBlockRealize([self.realize.iter_values[place] for place in kept], True, tree)
        for each in reversed(self.inside):
            whole = tirx.For(each.loop_var, each.min, each.extent, each.kind, whole)
        return whole

    def _steps(self) -> tuple[list[Statement], list[Buffer]]:
        steps: list[Statement] = []
        buffers: list[Buffer] = []
        width, results = int(self.loop.extent), self._lanes_of_part()
        while width > _WRITTEN_OUT:
            width //= 2
            half = tirx.decl_buffer((width,), str(self.part.ty), f"{self.lane.name}_{width}")
            at = tirx.Var(f"{self.lane.name}_at_{width}", "int32")
            value = self._both(results(at), results(at + width))
            extent = tirx.IntImm("int32", width)
            store = tirx.BufferStore(half, value, [at])
            steps.append(tirx.For(at, tirx.IntImm("int32", 0), extent, tirx.ForKind.VECTORIZED, store))
            buffers.append(half)
            results = _elements(half)
        values = [results(tirx.IntImm("int32", number)) for number in range(width)]
        while len(values) > 1:
            middle = len(values) // 2
            values = [self._both(*pair) for pair in zip(values[:middle], values[middle:], strict=True)]
        store = self.realize.block.body
        return [*steps, tirx.BufferStore(store.buffer, values[0], list(store.indices))], buffers

    def _lanes_of_part(self) -> Callable[[Expression], Expression]:
        return lambda lane: tirx.BufferLoad(self.part.source, [*self.part.indices[:-1], lane])

    def _both(self, first: Expression, second: Expression) -> Expression:
        """What the block makes of a total and a partial result."""

        def load(each: BufferLoad) -> Expression:
            return first if each.source.same_as(self.total.source) else second

        return tvm_ffi.structural_map(self.realize.block.body.value, (TensorLoad, load))

    def _region(self, region: BufferRegion) -> BufferRegion:
        """All lanes, of what a block reads of one."""
        if not region.source.same_as(self.part.source):
            return region
        lanes = Range.from_min_extent(tirx.IntImm("int32", 0), self.loop.extent)
        return tirx.BufferRegion(region.source, [*list(region.region)[:-1], lanes])


def _elements(buffer: Buffer) -> Callable[[Expression], Expression]:
    return lambda index: tirx.BufferLoad(buffer, [index])
