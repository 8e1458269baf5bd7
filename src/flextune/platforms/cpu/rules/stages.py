"""Data stages (padding, casts) of a register tile: how their elements are copied."""

from __future__ import annotations

from flextune.analysis.program_facts import BlockFacts
from flextune.platforms.cpu.rules.tile_geometry import TileGeometry


def copied_width(tile: TileGeometry, stage: BlockFacts) -> int:
    """The widest of a vector, its half and its quarter that the stage's contiguous axis consists of; 1 for none."""
    full, inner = tile.limits.lanes(stage.output.dtype), stage.iterators[-1]
    if any(read.stride_of(inner.name) not in (0, 1) for read in stage.reads):
        return 1
    return next((width for width in (full, full // 2, full // 4) if width > 1 and inner.extent % width == 0), 1)


def follows_vector(tile: TileGeometry, stage: BlockFacts) -> bool:
    """Whether the stage's contiguous axis is indexed by the tile's vector axis, and so is cut as that one is."""
    axes, inner = stage.writes[0].plain_axes() or (), stage.iterators[-1].name
    reads = (operand for operand in tile.facts.operands if operand.buffer == stage.output)
    return inner in axes and any(tile.vector in read.uses[axes.index(inner)] for read in reads)
