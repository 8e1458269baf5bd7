"""What `restage` is asked for must fit the block."""

from __future__ import annotations

from collections.abc import Mapping

from flextune.analysis.program_facts import BlockFacts, BlockKind
from flextune.errors import ScheduleError
from flextune.schedule.packing import PackedAxes


def check_restage(facts: BlockFacts, tiles: Mapping[str, int], vector: str, pack: PackedAxes | None) -> None:
    """Raises `ScheduleError` for tiles or packed axes that do not fit the block."""
    spatial = {it.name for it in facts.spatial}
    if facts.kind not in (BlockKind.CONTRACTION, BlockKind.REDUCTION):
        raise ScheduleError(f"cannot restage block {facts.name!r}: it is no reduction of one value per element")
    if unknown := sorted({vector, *tiles} - spatial):
        raise ScheduleError(f"cannot restage block {facts.name!r}: it has no spatial iterator {unknown[0]!r}")
    if small := [name for name, tile in tiles.items() if tile < 1]:
        raise ScheduleError(f"cannot restage block {facts.name!r}: the tile of {small[0]!r} is {tiles[small[0]]}")
    if pack is not None:
        _check_pack(facts, tiles, pack)


def _check_pack(facts: BlockFacts, tiles: Mapping[str, int], pack: PackedAxes) -> None:
    if not 0 <= pack.operand < len(facts.operands):
        raise ScheduleError(f"block {facts.name!r} has {len(facts.operands)} operands, none has index {pack.operand}")
    if pack.vector not in pack.outer or len(set(pack.outer)) != len(pack.outer):
        raise ScheduleError(f"the packed axes {', '.join(pack.outer)} must be distinct and hold {pack.vector!r}")
    if any(it not in {i.name for i in facts.iterators} for it in pack.outer):
        raise ScheduleError(f"block {facts.name!r} does not have all iterators of {', '.join(pack.outer)}")
    if pack.group < 1 or (pack.group > 1 and pack.outer[-1] not in {it.name for it in facts.reduce}):
        raise ScheduleError(f"{pack.outer[-1]!r} of block {facts.name!r} is not split by groups of {pack.group}")
    if pack.tile < 1 or tiles.get(pack.vector, 1) % pack.tile:
        raise ScheduleError(f"panels of {pack.tile} do not divide the tile of {pack.vector!r}")
