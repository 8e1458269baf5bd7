"""A reduction over a part of one of its axes, or over each of several equal parts: a block and a buffer of its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import tvm_ffi
from tvm import tirx
from tvm.ir import TensorLoad
from tvm.s_tir import SBlock, SBlockRealize

from flextune.analysis.blocks import read_program
from flextune.analysis.program_facts import BlockFacts, ProgramFacts
from flextune.analysis.symbols import is_symbolic
from flextune.errors import ScheduleError
from flextune.schedule.nest import LoopNest, element_region
from flextune.schedule.nest import counted as counted_in
from flextune.tvm_types import (
    Buffer,
    BufferLoad,
    BufferRegion,
    BufferStore,
    Expression,
    PrimFunc,
    Statement,
    TirTree,
    Variable,
)
from flextune.workload.extremes import extreme

Combination = Callable[[Expression, Expression], Expression]

_PLAIN = (tirx.Add, tirx.Max, tirx.Min)


@dataclass(frozen=True, slots=True)
class Part:
    """Elements `start` to `start + length` of an axis; or `count` such parts one after the other.

    The parts are counted by the spatial iterator `number`, which comes before all others.
    """

    axis: str
    start: Expression
    length: Expression
    number: str = ""
    count: int = 1


def combination(store: BufferStore) -> Combination | None:
    """How a reduction combines its result with an element: added, or the larger or smaller one; None for any other.

    The combined value reads the result in no other way.
    """
    value = store.value
    if isinstance(value, tirx.Select) and isinstance(value.false_value, tirx.Max | tirx.Min):
        operation = type(value.false_value)
        own, term = value.false_value.a, value.false_value.b
        is_extreme = tvm_ffi.structural_equal(value, extreme(operation, own, term), map_free_vars=True)
        if is_extreme and _reads(own, store) == 1 and _reads(term, store) == 0 and isinstance(own, TensorLoad):
            return lambda left, right: extreme(operation, left, right)
        return None
    if not isinstance(value, _PLAIN) or _reads(value, store) != 1:
        return None
    plain = type(value)
    is_own = any(isinstance(side, TensorLoad) and side.source.same_as(store.buffer) for side in (value.a, value.b))
    return (lambda left, right: plain(left, right)) if is_own else None


def _reads(tree: TirTree, store: BufferStore) -> int:
    loads: list[BufferLoad] = []
    tvm_ffi.structural_walk(tree, (TensorLoad, loads.append))
    return sum(load.source.same_as(store.buffer) for load in loads)


def block_facts(function: PrimFunc, block: str, purpose: str) -> tuple[ProgramFacts, BlockFacts]:
    """The program and the block of that name, or a `ScheduleError` that says what cannot be done with it."""
    program = read_program(function)
    facts = next((b for b in program.blocks if b.name == block), None) if program is not None else None
    if program is None or facts is None:
        raise ScheduleError(f"cannot {purpose} block {block!r}: the function has no such plain block")
    return program, facts


def part_of(program: ProgramFacts, facts: BlockFacts, name: str, part: Part) -> tuple[Statement, Buffer]:
    """The nest that computes a part of a reduction, and its buffer, which has the part's elements alone.

    A part that begins where the axis does starts from what the whole reduction starts from; others, and each of
    several, from zero in the case of sums.
    """
    block = facts.block
    source, counted = block.body.buffer, [(part.number, part.count)] if part.number else []
    spatial = [(it.name, part.length if it.name == part.axis else it.size) for it in facts.spatial]
    reduce = [(it.name, part.length if it.name == part.axis else it.size) for it in facts.reduce]
    nest = LoopNest([*counted, *spatial], reduce, program.index)
    is_first = not is_symbolic(part.start) and int(part.start) == 0
    place = nest.vars[part.axis] if is_first else nest.vars[part.axis] + part.start
    if part.number:
        place = nest.vars[part.number] * part.length + place
    variables = {
        old.var: place if it.name == part.axis else nest.vars[it.name]
        for old, it in zip(block.iter_vars, facts.iterators, strict=True)
    }
    axes = facts.writes[0].plain_axes() or ()
    shape = [
        part.length if axis == part.axis else extent for axis, extent in zip(axes, facts.output.sizes, strict=True)
    ]
    front = [nest.vars[each] for each, _ in counted]
    sizes = [counted_in(extent, program.index) for extent in (*(count for _, count in counted), *shape)]
    buffer = tirx.decl_buffer(sizes, facts.output.dtype, name)
    target = [*front, *(nest.vars[axis] if axis is not None else 0 for axis in axes)]
    reads: list[BufferRegion] = []

    def load(node: BufferLoad) -> BufferLoad:
        if node.source.same_as(source):
            return tirx.BufferLoad(buffer, target)
        indices = [substituted(index, variables) for index in node.indices]
        reads.append(element_region(node.source, indices))
        return tirx.BufferLoad(node.source, indices)

    value = substituted(tvm_ffi.structural_map(block.body.value, (TensorLoad, load)), variables)
    is_zero = isinstance(block.body.value, tirx.Add) and (not is_first or bool(part.number))
    init = tirx.const(0, facts.output.dtype) if is_zero else substituted(block.init.value, variables)
    statement = nest.wrap(
        name,
        tirx.BufferStore(buffer, value, target),
        reads=reads,
        writes=[element_region(buffer, target)],
        init=tirx.BufferStore(buffer, init, target),
    )
    return statement, buffer


def with_block_replaced(
    function: PrimFunc, program: ProgramFacts, facts: BlockFacts, statements: list[Statement], buffers: list[Buffer]
) -> PrimFunc:
    """The function with other statements in the place of a block, and more buffers inside."""
    root = function.body.block
    body = list(root.body) if isinstance(root.body, tirx.SeqStmt) else [root.body]
    position = program.blocks.index(facts)
    body[position : position + 1] = statements
    result = tirx.SeqStmt(body) if len(body) > 1 else body[0]
    allocated = [*root.alloc_buffers, *buffers]
    block = SBlock([], [], [], root.name_hint, result, alloc_buffers=allocated, annotations=root.annotations)
    return tirx.PrimFunc(list(function.params), SBlockRealize([], True, block), function.ret_type, attrs=function.attrs)


def substituted(tree: TirTree, variables: Mapping[Variable, Expression]) -> TirTree:
    return tvm_ffi.structural_map(tree, (tirx.Var, lambda var: variables.get(var, var)))
