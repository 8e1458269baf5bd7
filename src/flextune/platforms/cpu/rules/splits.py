"""Reductions that are cut before they are scheduled: into parts, so that all cores share one or a cache holds each of
them, and into whole vectors and the rest, where vectors run along an axis that they do not divide.
"""

from __future__ import annotations

import math

from flextune.analysis.footprint import dtype_bits
from flextune.analysis.program_facts import BlockFacts, BlockKind
from flextune.analysis.roles import role_of
from flextune.platforms.cpu.limits import CpuLimits
from flextune.platforms.cpu.rules.anchor import choose_anchor
from flextune.platforms.cpu.rules.rows import RowRule, reduces_contiguously
from flextune.schedule.parts import combination
from flextune.schedule.peel import has_columns, main_block_name, peel_columns, peel_tail, peelable
from flextune.schedule.rewriting_steps import PeelColumns, PeelTail, SplitReduction
from flextune.schedule.space import Draft
from flextune.schedule.split_reduction import parts_block_name, split_reduction, splittable

SPLIT_RULE = "split-reduction"
COLUMNS_RULE = "odd-columns"

_LEAST_TRIPS = 1 << 15
"""Work below which starting more tasks costs more than they save."""
_PARTS_PER_CORE = 4
_PART_VECTORS = 4
"""Parts of rows are whole multiples of so many vectors."""
_TILE_RESULTS = 256
"""What one register tile computes, about."""
_PANEL_VECTORS = 4
_MOST_PARTIAL_BYTES = 1 << 26
_LEAST_TERMS = 16
"""Sums of fewer are not worth another copy of their results."""
_LEAST_PACKED_REUSE = 4
"""Results that must read an element of an operand for copying all of it to pay."""
_MANY_VECTORS = 16
"""Of so many, those that are cut off may be several, so that the number of the rest is even."""


def split_long_reductions(draft: Draft, limits: CpuLimits) -> None:
    """Reductions with too few results for the cores, or too long for the caches, are reduced part by part."""
    for name in [block.name for block in _reductions(draft)]:
        block = draft.program.block(name)
        parts = max(_parts_for_cores(block, limits), _parts_for_cache(block, limits))
        if parts < 2 or _reads_constants(block, draft):
            continue
        part = _split(draft, block, parts, limits)
        if part is not None and reduces_contiguously(part) and math.prod(part.writes[0].buffer.shape) < _TILE_RESULTS:
            RowRule(draft, [part], len(part.spatial), limits, frozenset(), f"{name}.").apply()


def _reductions(draft: Draft) -> list[BlockFacts]:
    blocks = (block for block in draft.program.blocks if block.name not in draft.scheduled and role_of(block) is None)
    kinds = (BlockKind.REDUCTION, BlockKind.CONTRACTION)
    known = (block for block in blocks if block.kind in kinds and not block.is_symbolic)
    return [block for block in known if combination(block.block.body) is not None]


def _reads_constants(block: BlockFacts, draft: Draft) -> bool:
    """Whether an operand can be packed before the first run, which it could not in parts."""
    return any(access.buffer.parameter in draft.constants for access in block.reads)


def _parts_for_cores(block: BlockFacts, limits: CpuLimits) -> int:
    """Into how many parts a reduction is cut because it has too few results; 1 where it has enough."""
    results = math.prod(it.extent for it in block.spatial)
    if block.trips < _LEAST_TRIPS:
        return 1
    if block.kind is BlockKind.CONTRACTION:
        tasks = math.ceil(results / _TILE_RESULTS)
    elif reduces_contiguously(block):
        tasks = results
    else:
        tasks = math.ceil(results / (_PANEL_VECTORS * limits.lanes(block.output.dtype)))
    return _PARTS_PER_CORE * limits.cores if tasks < limits.cores else 1


def _parts_for_cache(block: BlockFacts, limits: CpuLimits) -> int:
    """Into how many parts a product of matrices is cut so that the panels of each stay in L2; 1 where they do."""
    results = math.prod(it.extent for it in block.spatial)
    if block.kind is not BlockKind.CONTRACTION or results < _TILE_RESULTS:
        return 1
    lanes = limits.lanes(block.output.dtype)
    column = math.prod(it.extent for it in block.reduce) * max(dtype_bits(o.buffer.dtype) for o in block.operands) // 8
    if column * lanes <= limits.l2_bytes * 3 // 4:
        return 1
    parts = 1 << math.ceil(math.log2(column * lanes * _PANEL_VECTORS * 2 / limits.l2_bytes))
    return parts if parts * results * 4 <= _MOST_PARTIAL_BYTES else 1


def _split(draft: Draft, block: BlockFacts, parts: int, limits: CpuLimits) -> BlockFacts | None:
    """Split off what does not divide, and the rest into parts; the block that reduces the parts, if there is one."""
    axis = next((it for it in block.reduce if it.extent >= parts and it.extent % parts == 0), None)
    last = block.reduce[-1]
    width = parts
    if reduces_contiguously(block):
        width *= _PART_VECTORS * limits.lanes(block.output.dtype)
        axis = last if last.extent >= width else axis
    if axis is None:
        axis = last
    name = block.name
    if axis is last and last.extent % width and peelable(block, width):
        draft.rewrite(peel_tail(draft.function, name, width), PeelTail(name, width))
        name = main_block_name(name)
    if not splittable(draft.program.block(name), axis.name, parts):
        return None
    draft.used(SPLIT_RULE)
    rewritten = split_reduction(draft.function, name, axis.name, parts)
    draft.rewrite(rewritten, SplitReduction(name, axis.name, parts))
    return draft.program.block(parts_block_name(name))


def peel_odd_columns(draft: Draft, limits: CpuLimits) -> None:
    """Where vectors run along an axis that is read as it lies and that they do not divide, the rest is apart.

    It begins so early that it fills whole vectors: a few results are computed twice.
    """
    for name in [block.name for block in _reductions(draft)]:
        block = draft.program.block(name)
        axis = _odd_axis(draft, block, limits)
        if axis is None:
            continue
        lanes = limits.lanes(block.output.dtype)
        width = lanes * (_PANEL_VECTORS if block.extent(axis) >= _MANY_VECTORS * lanes else 1)
        if not has_columns(block, axis, width):
            continue
        draft.used(COLUMNS_RULE)
        overlap = -(block.extent(axis) % width) % lanes
        draft.rewrite(peel_columns(draft.function, name, axis, width, overlap), PeelColumns(name, axis, width, overlap))


def _odd_axis(draft: Draft, block: BlockFacts, limits: CpuLimits) -> str | None:
    """The axis that vectors would run along and do not divide, where padding it would need a copy of what is read."""
    anchor = choose_anchor(draft.program, block, limits, draft.constants)
    lanes = limits.lanes(block.output.dtype)
    if anchor is None or anchor.must_pack or anchor.reduction < _LEAST_TERMS or block.trips < _LEAST_TRIPS:
        return None
    extent = block.extent(anchor.vector)
    if extent <= lanes or extent % max(1, lanes // 2) == 0 or block.writes[0].stride_of(anchor.vector) != 1:
        return None
    users = [access for access in block.operands if anchor.vector in access.iterators]
    if any(access.stride_of(anchor.vector) != 1 for access in users):
        return None
    if anchor.ragged and (anchor.packed is None or _reuse(block, anchor.packed) >= _LEAST_PACKED_REUSE):
        return None
    return anchor.vector


def _reuse(block: BlockFacts, operand: int) -> int:
    """How many results read one element of an operand."""
    used = block.operands[operand].iterators
    return math.prod(it.extent for it in block.spatial if it.name not in used)
