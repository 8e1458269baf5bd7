"""How one schedule cuts a form into tiles, and where operands and results lie in memory for that."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass

from flextune.platforms.vta.form import Axis, Form, blocks
from flextune.platforms.vta.hardware import ACCUMULATOR_BYTES, BLOCK, INPUT_BYTES, MAX_PAD, WEIGHT_BYTES, Hardware

LOOP_AXES = ("out", "rows", "columns", "in", "row_taps", "column_taps")
"""The loops inside of a tile: output blocks and points, input blocks, taps."""

SPATIAL = ("out", "rows", "columns")
"""Those that give accumulators of their own."""

PIXELS_OUTER = 1
"""Value of the variable `order`: output channels change within a tile of pixels, else pixels within channels."""


@dataclass(frozen=True, slots=True)
class AxisTiles:
    """One spatial axis in tiles, and its input as it lies in memory.

    LOAD adds zeros at the sides where each tile finds part of the input and the fields hold their number; otherwise
    all zeros lie in memory. The first and the last tile reach furthest over the ends.
    """

    axis: Axis
    tile: int

    @property
    def count(self) -> int:
        return -(-self.axis.result // self.tile)

    @property
    def needed(self) -> int:
        """Input points of a tile."""
        return self.axis.needed(self.tile)

    @property
    def padded_result(self) -> int:
        """Output points in memory: whole tiles."""
        return self.count * self.tile

    @property
    def in_hardware(self) -> bool:
        """Whether LOAD adds the zeros."""
        return all(
            points > 0 and max(zeros) <= MAX_PAD
            for _, points, zeros in (self._cut(end, self.axis.extent, -self.axis.before) for end in (0, self.count - 1))
        )

    @property
    def stored(self) -> int:
        """Input points in memory."""
        return self.axis.extent if self.in_hardware else self.axis.needed(self.padded_result)

    @property
    def margin(self) -> int:
        """Zeros before the input in memory."""
        return 0 if self.in_hardware else self.axis.before

    def part(self, number: int) -> tuple[int, int, tuple[int, int]]:
        """Of a tile: its first point in memory, how many there are, and zeros before and behind them."""
        return self._cut(number, self.stored, self.margin - self.axis.before)

    def _cut(self, number: int, stored: int, origin: int) -> tuple[int, int, tuple[int, int]]:
        first = number * self.tile * self.axis.stride + origin
        last = first + self.needed
        before, behind = max(0, -first), max(0, last - stored)
        return max(0, first), min(last, stored) - max(0, first), (before, behind)


@dataclass(frozen=True, slots=True)
class Tiling:
    """A schedule: a member of the space as numbers."""

    form: Form
    hardware: Hardware
    blocks_out: int
    """Blocks of 16 output channels of a tile."""
    blocks_in: int
    """Blocks of 16 input channels that a tile sums up at once."""
    rows: AxisTiles
    columns: AxisTiles
    load_slots: int
    """Tiles of inputs, and of weights, that the buffers hold at once: one is multiplied, others are loaded."""
    store_slots: int
    """Tiles of accumulators, likewise: one is summed up, another is stored."""
    order: int
    """See `PIXELS_OUTER`."""
    loops: tuple[str, str]
    """The axes that the two loops of a GEMM instruction run over; micro-ops spell out the others."""

    @property
    def steps_out(self) -> int:
        return -(-blocks(self.form.channels_out, BLOCK) // self.blocks_out)

    @property
    def steps_in(self) -> int:
        return -(-blocks(self.form.channels_in, BLOCK) // self.blocks_in)

    @property
    def extents(self) -> Mapping[str, int]:
        """Of the loops inside of a tile."""
        numbers = (self.blocks_out, self.rows.tile, self.columns.tile, self.blocks_in)
        return dict(zip(LOOP_AXES, (*numbers, self.form.rows.taps, self.form.columns.taps), strict=True))

    @property
    def pixels(self) -> int:
        return self.rows.tile * self.columns.tile

    @property
    def input_entries(self) -> int:
        """Of one tile."""
        return self.blocks_in * self.rows.needed * self.columns.needed

    @property
    def weight_entries(self) -> int:
        return self.blocks_out * self.blocks_in * self.form.taps

    @property
    def accumulator_entries(self) -> int:
        return self.blocks_out * self.pixels

    @property
    def result_entries(self) -> int:
        """Of the whole output in memory, in one plane."""
        results = self.rows.padded_result * self.columns.padded_result
        return self.form.groups * self.form.images * self.steps_out * self.blocks_out * results

    @property
    def bias_base(self) -> int:
        """The accumulator behind those of all tiles: biases lie there."""
        return self.store_slots * self.accumulator_entries


@dataclass(frozen=True, slots=True)
class Layout:
    """Where things begin in the accelerator's memory, in bytes; each region begins at a whole entry of any kind."""

    weights: int
    inputs: int
    biases: int
    outputs: int
    micro_ops: int
    """Behind the outputs."""

    @classmethod
    def of(cls, tiling: Tiling) -> Layout:
        form = tiling.form
        blocks_in, blocks_out = tiling.steps_in * tiling.blocks_in, tiling.steps_out * tiling.blocks_out
        points = tiling.rows.stored * tiling.columns.stored
        sizes = (
            form.groups * blocks_out * blocks_in * form.taps * WEIGHT_BYTES,
            form.groups * form.images * blocks_in * points * INPUT_BYTES,
            form.biases * form.groups * blocks_out * ACCUMULATOR_BYTES,
            tiling.result_entries * ACCUMULATOR_BYTES,  # of all planes
        )
        return cls(0, *itertools.accumulate(map(_whole, sizes)))


def _whole(size: int) -> int:
    return -(-size // WEIGHT_BYTES) * WEIGHT_BYTES
