"""Peel the tail of a reduction, so that the rest of it divides into whole vectors.

before:  S[i] = sum over k < K of f(i, k)
after:   S_main[i] = sum over k < W * (K // W) of f(i, k)
         S_tail[i] = sum over k < K % W of f(i, W * (K // W) + k)
         S[i] = S_main[i] + S_tail[i]
"""

from __future__ import annotations

import tvm_ffi
from tvm import tirx
from tvm.ir import TensorLoad
from tvm.s_tir import SBlock, SBlockRealize

from flextune.analysis.blocks import BlockFacts, BlockKind, read_program
from flextune.analysis.symbols import is_symbolic
from flextune.errors import ScheduleError
from flextune.schedule.nest import LoopNest, element_region
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
from flextune.workload.extremes import Combination, extreme

_OPERATORS = (tirx.Add, tirx.Max, tirx.Min)


def main_block_name(block: str) -> str:
    """Name of the block that reduces all but the tail of `block`."""
    return f"{block}_main"


def tail_block_name(block: str) -> str:
    """Name of the block that reduces the tail of `block`."""
    return f"{block}_tail"


def peelable(facts: BlockFacts, width: int) -> bool:
    """Whether `peel_tail` takes the block: a sum, maximum or minimum whose last reduce axis has a tail."""
    if facts.kind not in (BlockKind.REDUCTION, BlockKind.CONTRACTION) or not facts.reduce:
        return False
    extent = facts.reduce[-1].extent
    return extent > width and extent % width != 0 and _associative(facts.block.body)


def _associative(store: BufferStore) -> bool:
    """Whether the stored value is the element itself, combined once with something that does not read it."""
    operation = _operation(store.value)
    if operation is None:
        return False
    sides = [operation.a, operation.b]
    loads: list[BufferLoad] = []
    for side in sides:
        tvm_ffi.structural_walk(side, (TensorLoad, loads.append))
    own = [load for load in loads if load.source.same_as(store.buffer)]
    if len(own) != 1 or not any(own[0].same_as(side) for side in sides):
        return False
    return bool(tvm_ffi.structural_equal(store.value, _combined(store.value, *sides)))


def _operation(value: Expression) -> Expression | None:
    """The sum, maximum or minimum that a value is; also of the two that NaN in either operand makes NaN."""
    inner = value.false_value if isinstance(value, tirx.Select) else value
    return inner if isinstance(inner, _OPERATORS) else None


def _combined(value: Expression, left: Expression, right: Expression) -> Expression:
    """Two operands combined as those of `value` are."""
    kind: Combination = type(_operation(value))
    return extreme(kind, left, right) if isinstance(value, tirx.Select) else kind(left, right)


def peel_tail(function: PrimFunc, block: str, width: int) -> PrimFunc:
    """`function` with reduction `block` split as the module text shows, its innermost reduce axis by `width`.

    Raises `ScheduleError` if the block is not `peelable`.
    """
    program = read_program(function)
    facts = next((b for b in program.blocks if b.name == block), None) if program is not None else None
    if program is None or facts is None or width < 1 or not peelable(facts, width):
        raise ScheduleError(f"cannot peel block {block!r} by {width}: no such reduction with a tail")
    root = function.body.block
    statements = list(root.body) if isinstance(root.body, tirx.SeqStmt) else [root.body]
    extent = facts.reduce[-1].size
    cut = extent // width * width
    main, main_buffer = _part(facts, program.index, main_block_name(block), 0, cut)
    tail, tail_buffer = _part(facts, program.index, tail_block_name(block), cut, extent % width)
    position = program.blocks.index(facts)
    statements[position : position + 1] = [main, tail, _combine(facts, program.index, main_buffer, tail_buffer)]
    buffers = [*root.alloc_buffers, main_buffer, tail_buffer]
    body = tirx.SeqStmt(statements)
    peeled = SBlock([], [], [], root.name_hint, body, alloc_buffers=buffers, annotations=root.annotations)
    return tirx.PrimFunc(
        list(function.params), SBlockRealize([], True, peeled), function.ret_type, attrs=function.attrs
    )


def _part(facts: BlockFacts, index: str, name: str, start: Expression, length: Expression) -> tuple[Statement, Buffer]:
    """The nest that reduces `length` elements from `start` on, and its buffer."""
    block, last = facts.block, facts.reduce[-1].name
    source = block.body.buffer
    buffer = tirx.decl_buffer(source.ty.shape, facts.output.dtype, name)
    reduce = [(it.name, length if it.name == last else it.size) for it in facts.reduce]
    nest = LoopNest([(it.name, it.size) for it in facts.spatial], reduce, index)
    is_first = not is_symbolic(start) and int(start) == 0
    variables = {
        old.var: nest.vars[it.name] + start if it.name == last and not is_first else nest.vars[it.name]
        for old, it in zip(block.iter_vars, facts.iterators, strict=True)
    }
    reads: list[BufferRegion] = []

    def load(node: BufferLoad) -> BufferLoad:
        indices = [_substitute(index, variables) for index in node.indices]
        if node.source.same_as(source):
            return tirx.BufferLoad(buffer, indices)
        reads.append(element_region(node.source, indices))
        return tirx.BufferLoad(node.source, indices)

    value = _substitute(tvm_ffi.structural_map(block.body.value, (TensorLoad, load)), variables)
    target = [_substitute(index, variables) for index in block.body.indices]
    zero = isinstance(block.body.value, tirx.Add) and not is_first
    init = tirx.const(0, facts.output.dtype) if zero else _substitute(block.init.value, variables)
    statement = nest.wrap(
        name,
        tirx.BufferStore(buffer, value, target),
        reads=reads,
        writes=[element_region(buffer, target)],
        init=tirx.BufferStore(buffer, init, target),
    )
    return statement, buffer


def _combine(facts: BlockFacts, index: str, main: Buffer, tail: Buffer) -> Statement:
    store = facts.block.body
    nest = LoopNest([(it.name, it.size) for it in facts.spatial], [], index)
    variables = {
        old.var: nest.vars[it.name]
        for old, it in zip(facts.block.iter_vars, facts.iterators, strict=True)
        if it.name in nest.vars
    }
    indices = [_substitute(index, variables) for index in store.indices]
    value = _combined(store.value, tirx.BufferLoad(main, indices), tirx.BufferLoad(tail, indices))
    reads = [element_region(buffer, indices) for buffer in (main, tail)]
    return nest.wrap(
        facts.name, tirx.BufferStore(store.buffer, value, indices), reads, [element_region(store.buffer, indices)]
    )


def _substitute(tree: TirTree, variables: dict[Variable, Expression]) -> TirTree:
    return tvm_ffi.structural_map(tree, (tirx.Var, lambda var: variables.get(var, var)))
