"""Contractions in groups: where the groups become an axis of their own."""

from __future__ import annotations

import math

from flextune.analysis.program_facts import BlockFacts, BlockKind
from flextune.platforms.cpu.limits import CpuLimits
from flextune.platforms.cpu.rules.anchor import dot_product
from flextune.schedule.groups import split_groups
from flextune.schedule.rewriting_steps import SplitGroups
from flextune.schedule.space import Draft

_LEAST_WIDTH = 0.75


def apply_groups(draft: Draft, limits: CpuLimits) -> None:
    """Split the groups of every contraction whose groups are longer than a vector and do not consist of wide ones.

    Vectors that fill a group exactly need no padding and stay: groups of 28 are two vectors of 14. Groups of 34 would
    be 17 vectors of 2; as an axis of their own they are padded to whole vectors. Tensor intrinsics take no others.
    """
    for name in [block.name for block in draft.program.blocks if block.name not in draft.scheduled]:
        block = draft.program.block(name)
        found = grouped_axis(block)
        if found is not None and _needs_padding(block, found[1], limits):
            rewritten = split_groups(draft.function, name, *found, draft.constants)
            draft.rewrite(rewritten.function, SplitGroups(name, *found))


def grouped_axis(block: BlockFacts) -> tuple[str, int] | None:
    """The axis of a contraction along which aligned neighbours read the same of one operand, and how many of them."""
    axes = block.writes[0].plain_axes() if block.kind is BlockKind.CONTRACTION else None
    if axes is None:
        return None
    for it in block.spatial:
        sizes = [size for access in block.operands if (size := access.uniform_within(it.name)) is not None]
        size = math.gcd(*sizes) if sizes else 1
        if it.name in axes and 1 < size < it.extent and it.extent % size == 0:
            return it.name, size
    return None


def _needs_padding(block: BlockFacts, size: int, limits: CpuLimits) -> bool:
    lanes = limits.lanes(block.output.dtype)
    exact = max(width for width in range(1, lanes + 1) if size % width == 0)
    least = lanes if dot_product(block, limits) is not None else _LEAST_WIDTH * lanes
    return size > lanes and exact < least
