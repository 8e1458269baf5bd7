"""Peel what does not fill whole vectors off a reduction, so that the rest of it divides into them.

Off the reduction itself, `peel_tail`:
before:  S[i] = sum over k < K of f(i, k)
after:   S_main[i] = sum over k < W * (K // W) of f(i, k)
         S_tail[i] = sum over k < K % W of f(i, W * (K // W) + k)
         S[i] = S_main[i] + S_tail[i]

Off an axis of its results, `peel_columns`:
before:  S[i] = sum over k of f(i, k), for i < N
after:   S_main[i] for i < W * (N // W);   S_tail[i] = sum over k of f(W * (N // W) + i, k), for i < N % W
         S[i] = S_main[i] if i < W * (N // W) else S_tail[i - W * (N // W)]
         The tail may begin earlier, so that it fills whole vectors too: what it has twice is taken from S_main.
"""

from __future__ import annotations

from tvm import tirx

from flextune.analysis.program_facts import BlockFacts, BlockKind, ProgramFacts
from flextune.errors import ScheduleError
from flextune.schedule.nest import LoopNest, element_region
from flextune.schedule.parts import Part, block_facts, combination, part_of, substituted, with_block_replaced
from flextune.tvm_types import Buffer, Expression, PrimFunc, Statement


def main_block_name(block: str) -> str:
    """Name of the block that computes all but the tail of `block`."""
    return f"{block}_main"


def tail_block_name(block: str) -> str:
    """Name of the block that computes the tail of `block`."""
    return f"{block}_tail"


def peelable(facts: BlockFacts, width: int) -> bool:
    """Whether `peel_tail` takes the block: a sum, maximum or minimum whose last reduce axis has a tail."""
    if facts.kind not in (BlockKind.REDUCTION, BlockKind.CONTRACTION) or not facts.reduce:
        return False
    extent = facts.reduce[-1].extent
    return extent > width and extent % width != 0 and combination(facts.block.body) is not None


def peel_tail(function: PrimFunc, block: str, width: int) -> PrimFunc:
    """`function` with reduction `block` split as the module text shows, its innermost reduce axis by `width`.

    Raises `ScheduleError` if the block is not `peelable`.
    """
    program, facts = block_facts(function, block, "peel")
    if width < 1 or not peelable(facts, width):
        raise ScheduleError(f"cannot peel block {block!r} by {width}: no such reduction with a tail")
    axis, extent = facts.reduce[-1].name, facts.reduce[-1].size
    cut = extent // width * width
    main, main_buffer = part_of(program, facts, main_block_name(block), Part(axis, 0, cut))
    tail, tail_buffer = part_of(program, facts, tail_block_name(block), Part(axis, cut, extent % width))
    statements = [main, tail, _combined(program, facts, main_buffer, tail_buffer)]
    return with_block_replaced(function, program, facts, statements, [main_buffer, tail_buffer])


def has_columns(facts: BlockFacts, axis: str, width: int) -> bool:
    """Whether `peel_columns` takes the block: a reduction of known sizes, longer than `width` and with a tail."""
    if facts.kind not in (BlockKind.REDUCTION, BlockKind.CONTRACTION) or facts.is_symbolic:
        return False
    extent = dict(facts.extents).get(axis, 0)
    return axis in (facts.writes[0].plain_axes() or ()) and extent > width and extent % width != 0


def peel_columns(function: PrimFunc, block: str, axis: str, width: int, overlap: int = 0) -> PrimFunc:
    """`function` with reduction `block` split as the module text shows, along a spatial axis by `width`.

    The tail begins `overlap` elements before the end of the main part. Raises `ScheduleError` if the block does not
    `has_columns`, or that is more than it has.
    """
    program, facts = block_facts(function, block, "peel columns of")
    extent = facts.extents.get(axis, 0)
    cut = extent - extent % max(width, 1)
    if width < 1 or not has_columns(facts, axis, width) or not 0 <= overlap < cut:
        raise ScheduleError(f"cannot peel columns of block {block!r} along {axis!r} by {width} with {overlap} twice")
    start = cut - overlap
    main, main_buffer = part_of(program, facts, main_block_name(block), Part(axis, 0, cut))
    tail, tail_buffer = part_of(program, facts, tail_block_name(block), Part(axis, start, extent - start))
    statements = [main, tail, _joined(program, facts, axis, (cut, start), main_buffer, tail_buffer)]
    return with_block_replaced(function, program, facts, statements, [main_buffer, tail_buffer])


def _combined(program: ProgramFacts, facts: BlockFacts, main: Buffer, tail: Buffer) -> Statement:
    store = facts.block.body
    combine = combination(store)
    assert combine is not None
    nest, indices = _results(program, facts)
    value = combine(tirx.BufferLoad(main, indices), tirx.BufferLoad(tail, indices))
    reads = [element_region(buffer, indices) for buffer in (main, tail)]
    return nest.wrap(
        facts.name, tirx.BufferStore(store.buffer, value, indices), reads, [element_region(store.buffer, indices)]
    )


def _joined(
    program: ProgramFacts, facts: BlockFacts, axis: str, ends: tuple[int, int], main: Buffer, tail: Buffer
) -> Statement:
    """Results of the main part up to its end, then those of the tail, which has them from its start on."""
    store, (cut, start) = facts.block.body, ends
    nest, indices = _results(program, facts)
    dimension = (facts.writes[0].plain_axes() or ()).index(axis)
    beyond = [index - start if d == dimension else index for d, index in enumerate(indices)]
    value = tirx.if_then_else(nest.vars[axis] < cut, tirx.BufferLoad(main, indices), tirx.BufferLoad(tail, beyond))
    reads = [element_region(main, indices), element_region(tail, beyond)]
    return nest.wrap(
        facts.name, tirx.BufferStore(store.buffer, value, indices), reads, [element_region(store.buffer, indices)]
    )


def _results(program: ProgramFacts, facts: BlockFacts) -> tuple[LoopNest, list[Expression]]:
    """Loops over the results of a block, and the indices of each of them."""
    nest = LoopNest([(it.name, it.size) for it in facts.spatial], [], program.index)
    variables = {
        old.var: nest.vars[it.name]
        for old, it in zip(facts.block.iter_vars, facts.iterators, strict=True)
        if it.name in nest.vars
    }
    return nest, [substituted(index, variables) for index in facts.block.body.indices]
