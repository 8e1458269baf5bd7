"""The analytical estimate of a separable convolution in one kernel: it picks the default schedule, no more."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from flextune.analysis.footprint import dtype_bits
from flextune.analysis.program_facts import BlockFacts
from flextune.platforms.cpu.rules.cache_rates import Floats, load_rate
from flextune.platforms.cpu.rules.separable_pair import SeparablePair
from flextune.platforms.cpu.rules.stage_estimate import START_CYCLES, part_of_task, span_of_task
from flextune.platforms.cpu.rules.tile_estimate import TileEstimate
from flextune.platforms.cpu.rules.tile_geometry import TileGeometry
from flextune.schedule.space import Columns

_STORE_CYCLES = 2.0  # what follows a window, and its store
_BLOCK_CYCLES = 2.0  # a turn of the loop over blocks of neighbours
_COPY_CYCLES = 3.0  # to pad with one vector
_L2_SHARE = 0.75


@dataclass(frozen=True, slots=True)
class SeparableEstimate:
    """Estimated share of peak of both convolutions together, as a function over columns of assignments."""

    tile: TileGeometry
    pair: SeparablePair

    def __call__(self, columns: Columns) -> Floats:
        least = sum(self._least_cycles(block) for block in (self.pair.product, self.pair.window))
        cycles = self._least_cycles(self.pair.product) / np.maximum(TileEstimate(self.tile)(columns), 1e-9)
        cycles = cycles + self._window_cycles(columns) + self._padding_cycles(columns)
        return np.asarray(least / cycles, dtype=np.float64)

    def _least_cycles(self, block: BlockFacts) -> float:
        """One multiply-add of a vector a cycle."""
        return block.trips / self.tile.limits.lanes(block.output.dtype)

    def _window_cycles(self, columns: Columns) -> Floats:
        """Multiply-adds against the loads that neighbours do not share; the results go out to a cache and back."""
        neighbours, lanes = self._column(columns, "neighbours"), self._column(columns, "window_lanes")
        rows, width = self.pair.taps / self.pair.column_taps, self.pair.column_taps
        loads = rows * ((neighbours - 1) * self.pair.column_step + width) / neighbours
        in_registers = self.pair.taps + neighbours < self.tile.limits.vector_registers
        loads = loads + np.where(in_registers, 0.0, self.pair.taps / neighbours)
        cycles = np.maximum(self.pair.taps, loads) + _STORE_CYCLES + _BLOCK_CYCLES / neighbours
        across, channels = self._spans(columns)[self.pair.columns.name], self.pair.channels.extent
        guarded = np.ceil(across / neighbours) * neighbours / across
        vectors = np.ceil(channels / lanes) / channels
        elements, tasks = part_of_task(self.tile, self._stage, columns)
        traffic = self._element_bytes / load_rate(self.tile.limits, elements * self._element_bytes, _L2_SHARE)
        return np.asarray(tasks * elements * (vectors * guarded * cycles + traffic), dtype=np.float64)

    def _padding_cycles(self, columns: Columns) -> Floats:
        """All at once, by tasks, or by tasks vector by vector: the halo of a task is padded twice."""
        padding = self.pair.padding
        if padding is None:
            return np.zeros(1)
        part, tasks = self._image_part(columns)
        whole = float(math.prod(padding.output.shape))
        vector = part * self._column(columns, "window_lanes") / self.pair.channels.extent
        costs = (
            whole * self._copied(np.full(1, whole)) + START_CYCLES,
            tasks * part * self._copied(part),
            tasks * part * self._copied(vector),
        )
        return np.asarray(np.choose(columns[self.tile.name("at", block=padding.name)], np.broadcast_arrays(*costs)))

    def _copied(self, together: Floats) -> Floats:
        """Cycles of an element that is copied with so many others before they are read."""
        rate = load_rate(self.tile.limits, together * self._element_bytes, _L2_SHARE)
        return _COPY_CYCLES / self.tile.limits.lanes(self.pair.window.output.dtype) + 2.0 * self._element_bytes / rate

    def _image_part(self, columns: Columns) -> tuple[Floats, Floats]:
        """Elements of the padded image that one task reads, and the number of tasks."""
        part, (_, tasks) = np.ones(1), part_of_task(self.tile, self._stage, columns)
        spans = self._spans(columns)
        image = self.pair.window.factors[0]
        for terms, extent in zip(image.terms, image.buffer.shape, strict=True):
            steps = ((np.ceil(spans[each.iterator] / each.divisor) - 1) * abs(each.coefficient) for each in terms or ())
            span = sum(steps) + 1.0
            part = part * np.minimum(span, extent)
        return part, tasks

    def _spans(self, columns: Columns) -> Mapping[str, Floats]:
        """Neighbours along every iterator of the window that one task goes through."""
        window = self.pair.window
        access = next(each for each in self.tile.facts.operands if each.buffer == self._stage.output)
        axes = window.writes[0].plain_axes() or ()
        found = {it.name: np.full(1, float(it.extent)) for it in window.iterators}
        found |= {axis: span_of_task(self.tile, access, place, columns) for place, axis in enumerate(axes) if axis}
        return found

    @property
    def _stage(self) -> BlockFacts:
        return self.tile.program.block(self.pair.stage)

    @property
    def _element_bytes(self) -> float:
        return dtype_bits(self.pair.window.output.dtype) / 8

    def _column(self, columns: Columns, name: str) -> Floats:
        return columns[self.tile.name(name)].astype(np.float64)
