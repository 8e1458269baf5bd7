"""What of a register tile is fixed before anything is searched: its axes, its names, the sizes it may have."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from flextune.analysis.footprint import dtype_bits
from flextune.analysis.program_facts import WORD, BlockFacts, BufferFacts, ProgramFacts
from flextune.platforms.cpu.limits import CpuLimits
from flextune.platforms.cpu.rules.anchor import Anchor, dot_axis
from flextune.platforms.cpu.rules.fusion import stage_of
from flextune.schedule.space import VariableRole
from flextune.schedule.stage_names import store_block_name

_MAX_WASTE = 1.25
_MAX_VECTORS = 16
_MAX_ROWS = 30
_MAX_OUTER_ROWS = 8

MAX_WASTE_PERCENT = round(100 * (_MAX_WASTE - 1))


@dataclass(frozen=True)
class TileGeometry:
    """The tile of an anchor, in the loops of the block that writes the finished result.

    Axes are iterators of the anchor.
    """

    program: ProgramFacts
    """All blocks."""
    anchor: Anchor
    """The reduction."""
    limits: CpuLimits
    """Of the core."""
    prefix: str = ""
    """What names of variables begin with."""
    placed: frozenset[str] = frozenset()
    """Blocks that are no data stages of this tile: another rule says where they are computed."""

    def role(self, purpose: str, axis: str = "", block: str = "") -> VariableRole:
        """A variable of this tile, to be declared."""
        return VariableRole(purpose, axis, block, self.prefix)

    def name(self, purpose: str, axis: str = "", block: str = "") -> str:
        """The name of a variable of this tile."""
        return self.role(purpose, axis, block).name

    def loop(self, part: str, axis: str) -> str:
        """A loop of this tile: `part` says which nest or level."""
        return f"{self.facts.name}.{part}.{axis}"

    @property
    def facts(self) -> BlockFacts:
        return self.anchor.facts

    @property
    def vector(self) -> str:
        return self.anchor.vector

    @property
    def group(self) -> int:
        """Neighbours along the reduction that one lane takes at a time."""
        return self.anchor.intrinsic.group if self.anchor.intrinsic is not None else 1

    @property
    def store_block(self) -> str:
        """The block that writes the finished result: the last epilogue, or one that copies the accumulators."""
        return self.anchor.last.name if self.anchor.last is not None else store_block_name(self.facts.name)

    @cached_property
    def axis_of_loop(self) -> Mapping[str, str | None]:
        """The loops of the storing block, in order, with the axis that each runs over (None: no axis)."""
        last = self.anchor.last
        back = {loop: axis for axis, loop in self.anchor.chain.axes.items()}
        return {it.name: back.get(it.name) for it in (last.iterators if last is not None else self.facts.spatial)}

    @cached_property
    def outer_axes(self) -> tuple[str, ...]:
        """Axes other than the vector one that are longer than 1."""
        axes = (axis for axis in self.axis_of_loop.values() if axis is not None and axis != self.vector)
        return tuple(axis for axis in axes if self.extent(axis) > 1)

    @cached_property
    def row_axes(self) -> tuple[str, ...]:
        """The axes of the tile's rows: two of those along which at most one operand moves, in their order.

        First come those along which neighbours share the vectors that are loaded (the channels where vectors run along
        an image), and then the innermost.
        """
        operands = self.facts.operands
        moving = {axis for operand in operands if self.vector in operand.iterators for axis in operand.iterators}
        axes = [a for a in self.outer_axes if sum(a in o.iterators for o in operands) <= 1 or len(operands) < 2]
        chosen = sorted(axes, key=lambda axis: axis not in moving)[-2:]
        return tuple(axis for axis in axes if axis in chosen)

    @cached_property
    def other_axes(self) -> tuple[str, ...]:
        """All spatial axes but the vector one."""
        return tuple(it.name for it in self.facts.spatial if it.name != self.vector)

    @cached_property
    def stages(self) -> tuple[BlockFacts, ...]:
        """Element-wise blocks that compute an operand for the anchor alone."""
        found = (stage_of(self.program, self.facts, operand) for operand in self.facts.operands)
        return tuple(stage for stage in found if stage is not None and stage.name not in self.placed)

    @property
    def packed_buffer(self) -> BufferFacts | None:
        """What the packed operand reads."""
        return None if self.anchor.packed is None else self.facts.operands[self.anchor.packed].buffer

    @property
    def reads_words(self) -> bool:
        """Whether several weights lie in a word, whose parts the last reduce axis runs over: it is unrolled."""
        return self.packed_buffer is not None and self.packed_buffer.dtype == WORD

    @property
    def cycles(self) -> float:
        """Of all multiply-adds of the block on one core."""
        return max(self.facts.trips / max(self.lanes), 1.0)

    @property
    def scales(self) -> int:
        """How many vectors besides the operands widen each vector of the weights: they are held in registers."""
        return max(0, len(self.facts.reads) - len(self.facts.factors)) if self.facts.factors else 0

    @cached_property
    def copies_data(self) -> bool:
        """Whether the data is copied to fill the groups of the tensor intrinsic, because no stage computes it."""
        if self.extent(self.reduce_order[-1]) % self.group == 0 or self.anchor.packed is None:
            return False
        return stage_of(self.program, self.facts, self.facts.operands[1 - self.anchor.packed]) is None

    @cached_property
    def element_bytes(self) -> int:
        return max(dtype_bits(operand.buffer.dtype) for operand in self.facts.operands) // 8

    @cached_property
    def reduce_order(self) -> tuple[str, ...]:
        """Reduce axes, the one of the tensor intrinsic's dot product last."""
        names = [it.name for it in self.facts.reduce]
        if self.anchor.intrinsic is not None and self.anchor.packed is not None:
            factors = self.facts.factors
            inner = dot_axis(self.facts, factors[1 - self.anchor.packed], factors[self.anchor.packed])
            names.sort(key=lambda name: name == inner)
        return tuple(names)

    @cached_property
    def packed_outer(self) -> tuple[str, ...]:
        """The axes that the packed operand keeps outside its tiles: shared ones, then the vector axis."""
        if self.anchor.packed is None:
            return ()
        used = self.facts.operands[self.anchor.packed].iterators
        return (*(axis for axis in self.other_axes if axis in used), self.vector)

    @cached_property
    def packed_reduce(self) -> tuple[str, ...]:
        """The reduce axes of the packed operand, inside `packed_outer`."""
        if self.anchor.packed is None:
            return ()
        used = self.facts.operands[self.anchor.packed].iterators
        return tuple(axis for axis in self.reduce_order if axis in used)

    def extent(self, axis: str) -> int:
        return self.facts.extent(axis)

    def row_tiles(self, axis: str) -> list[int]:
        """Tile sizes of a row axis with little padding, and always 1."""
        extent, most = self.extent(axis), _MAX_ROWS if axis == self.row_axes[-1] else _MAX_OUTER_ROWS
        return [t for t in range(1, min(extent, most) + 1) if _waste(extent, t) <= _MAX_WASTE]

    @cached_property
    def lanes(self) -> tuple[int, ...]:
        """Vector widths to choose from, in elements."""
        if not self._exact_widths and not self.anchor.ragged:
            return (self._narrow_width,)
        return self._wide_lanes

    @cached_property
    def panels(self) -> tuple[int, ...]:
        """Widths of the vector tile: little padding, and exact where a tail could not be loaded.

        Where half vectors leave a tail, the whole axis in full or half ones is one of them: 3 vectors of 16 for 34.
        """
        if not self.anchor.ragged:
            return self._exact_widths or (self._narrow_width,)
        extent = self._vector_extent
        waste = {width: _waste(extent, width) for width in self._widths}
        allowed = max(_MAX_WASTE, min(waste.values()))
        wide = self._wide_lanes[:2] if extent % self._wide_lanes[:2][-1] else ()
        whole = {math.ceil(extent / lanes) * lanes for lanes in wide if extent > lanes}
        return tuple(width for width in self._widths if waste[width] <= allowed or width in whole)

    @cached_property
    def vectors(self) -> list[int]:
        """How many vectors a panel may be wide."""
        counts = {panel // lanes for panel in self.panels for lanes in self.lanes if panel % lanes == 0}
        return sorted(count for count in counts if count <= _MAX_VECTORS)

    @cached_property
    def _wide_lanes(self) -> tuple[int, ...]:
        if self.anchor.intrinsic is not None:
            return (self.anchor.intrinsic.lanes,)
        full, extent = self.limits.lanes(self.facts.output.dtype), self.extent(self.vector)
        widths = [full, full // 2] + ([full // 4] if extent % (full // 2) else [])
        return tuple(n for n in widths if n >= 2 and (n == full or n < extent * 2)) or (full,)

    @property
    def _vector_extent(self) -> int:
        return self.anchor.uniform or self.extent(self.vector)

    @cached_property
    def _widths(self) -> tuple[int, ...]:
        return tuple(sorted({v * n for v in range(1, _MAX_VECTORS + 1) for n in self._wide_lanes}))

    @cached_property
    def _exact_widths(self) -> tuple[int, ...]:
        return tuple(width for width in self._widths if self._vector_extent % width == 0)

    @cached_property
    def _narrow_width(self) -> int:
        """The widest vector, not wider than a register, that leaves no tail."""
        return max(d for d in range(1, self._wide_lanes[0] + 1) if self._vector_extent % d == 0)


def _waste(extent: int, tile: int) -> float:
    """Padded elements over true ones when whole tiles cover an extent."""
    return math.ceil(extent / tile) * tile / extent
