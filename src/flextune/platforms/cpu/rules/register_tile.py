"""The register tile: a reduction vectorised over one spatial axis, its accumulators kept in registers.

The shape of every fast CPU contraction (Goto and van de Geijn 2008, section 4; FlexTensor section 4.1 for the tiling
levels; Heron section 4 for limits as constraints): an operand packed into panels, a tile of rows x vectors accumulated
over the whole reduction, cache tiles around it, the grid outside shared among the cores, the epilogue on the finished
tile.
"""

from __future__ import annotations

from flextune.platforms.cpu.limits import CpuLimits
from flextune.platforms.cpu.rules.anchor import Anchor
from flextune.platforms.cpu.rules.tile_estimate import TileEstimate
from flextune.platforms.cpu.rules.tile_geometry import TileGeometry
from flextune.platforms.cpu.rules.tile_steps import tile_steps
from flextune.platforms.cpu.rules.tile_variables import RULE, declare_tile_variables
from flextune.schedule.space import Draft


def apply_register_tile(draft: Draft, anchor: Anchor, limits: CpuLimits, prefix: str = "") -> None:
    """Schedule one reduction block with its data stages and epilogue; see the module text.

    Names of variables begin with `prefix`.
    """
    tile = TileGeometry(draft.program, anchor, limits, prefix)
    draft.used(RULE)
    declare_tile_variables(draft, tile)
    draft.add(*tile_steps(tile, frozenset(draft.scheduled)))
    draft.estimates.append(TileEstimate(tile))
    draft.scheduled |= {tile.facts.name, *(block.name for block in (*anchor.chain.blocks, *tile.stages))}
