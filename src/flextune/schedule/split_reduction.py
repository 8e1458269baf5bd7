"""Cut a reduction into parts that are reduced on their own, so that several cores share it, or each fits a cache.

before:  S[i] = sum over k < P * L of f(i, k)
after:   S_parts[p, i] = sum over k < L of f(i, p * L + k);   S[i] = sum over p < P of S_parts[p, i]
"""

from __future__ import annotations

from tvm import tirx

from flextune.analysis.program_facts import BlockFacts, BlockKind
from flextune.errors import ScheduleError
from flextune.schedule.nest import LoopNest, element_region
from flextune.schedule.parts import Part, block_facts, combination, part_of, substituted, with_block_replaced
from flextune.tvm_types import Buffer, PrimFunc, Statement

PART = "part"
"""The iterator over the parts."""


def parts_block_name(block: str) -> str:
    """Name of the block that reduces the parts."""
    return f"{block}_parts"


def splittable(facts: BlockFacts, axis: str, parts: int) -> bool:
    """Whether `split_reduction` takes the block: equal parts of a reduce axis, and a sum, a maximum or a minimum."""
    known = {it.name: it.extent for it in facts.reduce}
    return (
        not facts.is_symbolic
        and facts.kind in (BlockKind.REDUCTION, BlockKind.CONTRACTION)
        and known.get(axis, 1) > parts > 1
        and known[axis] % parts == 0
        and facts.writes[0].plain_axes() is not None
        and combination(facts.block.body) is not None
        and PART not in facts.extents
    )


def split_reduction(function: PrimFunc, block: str, axis: str, parts: int) -> PrimFunc:
    """`function` with reduce axis `axis` of `block` in `parts` parts, as the module text shows.

    Raises `ScheduleError` where the block is not `splittable` like that.
    """
    program, facts = block_facts(function, block, "split")
    if not splittable(facts, axis, parts):
        raise ScheduleError(f"cannot split the reduction of block {block!r} along {axis!r} into {parts} parts")
    part = Part(axis, 0, facts.extent(axis) // parts, PART, parts)
    statement, buffer = part_of(program, facts, parts_block_name(block), part)
    return with_block_replaced(function, program, facts, [statement, _summed(facts, buffer, parts)], [buffer])


def _summed(facts: BlockFacts, buffer: Buffer, parts: int) -> Statement:
    store = facts.block.body
    combine = combination(store)
    assert combine is not None
    nest = LoopNest([(it.name, it.extent) for it in facts.spatial], [(PART, parts)])
    variables = {
        old.var: nest.vars[it.name]
        for old, it in zip(facts.block.iter_vars, facts.iterators, strict=True)
        if it.name in nest.vars
    }
    indices = [substituted(index, variables) for index in store.indices]
    source = [nest.vars[PART], *indices]
    value = combine(tirx.BufferLoad(store.buffer, indices), tirx.BufferLoad(buffer, source))
    return nest.wrap(
        facts.name,
        tirx.BufferStore(store.buffer, value, indices),
        [element_region(buffer, source)],
        [element_region(store.buffer, indices)],
        init=tirx.BufferStore(store.buffer, substituted(facts.block.init.value, variables), indices),
    )
