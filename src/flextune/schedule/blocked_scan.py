"""Prefix sums in blocks: work in proportion to the length of a row, not to its square.

before:  S[i, j] = sum over k <= j, k < K of A[i, k]                          for j < N
after:   S_blocks[i, c, j] = sum over k <= j, c * W + k < K of A[i, c * W + k]    for j < W
         S_before[i, c] = sum over d < c of S_blocks[i, d, W - 1]
         S[i, c * W + j] = S_blocks[i, c, j] + S_before[i, c]

A result takes W additions inside its block, but these are of whole vectors, and N / W for all blocks before it.
"""

from __future__ import annotations

import math

from tvm import tirx
from tvm.ir import Call

from flextune.analysis.program_facts import BlockFacts, ProgramFacts
from flextune.analysis.roles import role_of
from flextune.errors import ScheduleError
from flextune.schedule.nest import LoopNest, element_region
from flextune.schedule.parts import block_facts, substituted, with_block_replaced
from flextune.tvm_types import Buffer, Expression, PrimFunc, Statement
from flextune.workload.roles import PREFIX_SUM


def prefix_sum(program: ProgramFacts) -> BlockFacts | None:
    """The prefix sum along the rows of a matrix that `block_scan` takes, if the program has one."""
    return next((block for block in program.blocks if role_of(block) == PREFIX_SUM and _term(block) is not None), None)


def block_scan(function: PrimFunc, block: str, width: int) -> PrimFunc:
    """`function` with prefix sum `block` in blocks of `width`, as the module text shows.

    Raises `ScheduleError` where the block is no prefix sum of known size.
    """
    program, facts = block_facts(function, block, "scan in blocks")
    term = _term(facts)
    if term is None or width < 1 or role_of(facts) != PREFIX_SUM:
        raise ScheduleError(f"cannot scan block {block!r} in blocks of {width}: it is no prefix sum of known size")
    rows, results = (it.extent for it in facts.spatial)
    count, dtype = math.ceil(results / width), facts.output.dtype
    inside = tirx.decl_buffer([rows, count, width], dtype, f"{block}_blocks")
    before = tirx.decl_buffer([rows, count], dtype, f"{block}_before")
    statements = [
        _inside_blocks(facts, term, inside, width),
        _before_blocks(facts, before, inside, width),
        _together(facts, inside, before, width),
    ]
    return with_block_replaced(function, program, facts, statements, [inside, before])


def _term(facts: BlockFacts) -> Expression | None:
    """What is summed up, of row i and place k; None for a block that is not `S[i, j] += A[i, k] if k <= j else 0`."""
    if facts.is_symbolic or len(facts.spatial) != 2 or len(facts.reduce) != 1:
        return None
    value = facts.block.body.value
    chosen = value.b if isinstance(value, tirx.Add) else None
    is_guarded = isinstance(chosen, Call) and str(chosen.op.name).endswith("if_then_else")
    return chosen.args[1] if chosen is not None and is_guarded else None


def _inside_blocks(facts: BlockFacts, term: Expression, inside: Buffer, width: int) -> Statement:
    rows, count, _ = (int(extent) for extent in inside.ty.shape)
    length = facts.reduce[0].extent
    nest = LoopNest([("i", rows), ("c", count), ("j", width)], [("k", width)])
    i, c, j, k = nest.vars.values()
    place, conditions = c * width + k, [k <= j]
    if count * width > length:
        conditions.append(place < length)
        place = tirx.min(place, length - 1)
    row, _, summed = (it.var for it in facts.block.iter_vars)
    value = substituted(term, {row: i, summed: place})
    zero, target = tirx.const(0, facts.output.dtype), [i, c, j]
    source = facts.block.reads[0].source
    update = tirx.BufferLoad(inside, target) + tirx.Select(tirx.all(*conditions), value, zero)
    return nest.wrap(
        str(inside.name),
        tirx.BufferStore(inside, update, target),
        [element_region(source, [i, place])],
        [element_region(inside, target)],
        init=tirx.BufferStore(inside, zero, target),
    )


def _before_blocks(facts: BlockFacts, before: Buffer, inside: Buffer, width: int) -> Statement:
    rows, count = (int(extent) for extent in before.ty.shape)
    nest = LoopNest([("i", rows), ("c", count)], [("d", count)])
    i, c, d = nest.vars.values()
    zero, target, source = tirx.const(0, facts.output.dtype), [i, c], [i, d, width - 1]
    update = tirx.BufferLoad(before, target) + tirx.Select(d < c, tirx.BufferLoad(inside, source), zero)
    return nest.wrap(
        str(before.name),
        tirx.BufferStore(before, update, target),
        [element_region(inside, source)],
        [element_region(before, target)],
        init=tirx.BufferStore(before, zero, target),
    )


def _together(facts: BlockFacts, inside: Buffer, before: Buffer, width: int) -> Statement:
    """The results: over blocks and places in them where these are all, else over the results."""
    (rows, results), out = (it.extent for it in facts.spatial), facts.block.body.buffer
    if results % width == 0:
        nest = LoopNest([("i", rows), ("c", results // width), ("j", width)], [])
        i, c, j = nest.vars.values()
        target = [i, c * width + j]
    else:
        nest = LoopNest([("i", rows), ("j", results)], [])
        i, place = nest.vars.values()
        c, j, target = tirx.floordiv(place, width), tirx.floormod(place, width), [i, place]
    value = tirx.BufferLoad(inside, [i, c, j]) + tirx.BufferLoad(before, [i, c])
    reads = [element_region(inside, [i, c, j]), element_region(before, [i, c])]
    return nest.wrap(facts.name, tirx.BufferStore(out, value, target), reads, [element_region(out, target)])
