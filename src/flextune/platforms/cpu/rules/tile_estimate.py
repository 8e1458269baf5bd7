"""The analytical estimate of a register tile: it picks the default schedule, and excludes nothing."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from flextune.analysis.footprint import dtype_bits
from flextune.analysis.program_facts import Access
from flextune.analysis.sharing import LAUNCH_CYCLES
from flextune.platforms.cpu.rules.cache_rates import L2_BYTES_PER_CYCLE, L3_BYTES_PER_CYCLE, Floats, load_rate
from flextune.platforms.cpu.rules.stage_estimate import stage_cycles
from flextune.platforms.cpu.rules.tile_geometry import TileGeometry
from flextune.schedule.space import Columns

_MEMORY_BYTES_PER_CYCLE = 6.0
_L2_SHARE = 0.75
_HIDDEN_LATENCY = 10.0  # a step takes at least as long, because it waits for the one before; loads come meanwhile
_TASK_CYCLES = 200.0
_LEAST_PACKED_REUSE = 32
_SPILLING = 4
_SHARED_BYTES_PER_CYCLE = 5.0  # measured: 1 MiB of results in rows of 1 KiB, halves of which two cores write
_PAGE_BYTES, _LINE_BYTES = 4096, 64


@dataclass(frozen=True, slots=True)
class TileEstimate:
    """Estimated share of peak of register tiles, as a function over columns of assignments.

    Cycles of one step of the reduction in the register tile: one multiply-add of a vector a cycle against loads at
    the rate of the cache level that holds what is reused; times the shares of useful lanes, of true (not
    padded) elements, of hidden latency and of busy cores.
    """

    tile: TileGeometry

    def __call__(self, columns: Columns) -> Floats:
        vectors, lanes, tasks = (self._column(columns, name) for name in ("vectors", "lanes", "tasks"))
        multiply = self._rows(columns) * vectors
        broadcasts, bytes_loaded = self._loads(columns)
        broadcasts = broadcasts + self._row_bytes(columns) / self._row_rate(columns)
        load = bytes_loaded / self._load_rate(columns) + broadcasts
        first = bytes_loaded / self._first_rate() + broadcasts
        steps = np.maximum(multiply, load)
        steps = steps + (np.maximum(multiply, first) - steps) / self._sharing_tiles(columns)
        waits = np.maximum(0.0, _HIDDEN_LATENCY - multiply)
        share = multiply / (np.maximum(steps, _HIDDEN_LATENCY) + 0.1 * load + 0.1 * waits)
        busy = tasks / (np.ceil(tasks / self.tile.limits.cores) * self.tile.limits.cores)
        launch = np.where(tasks > 1, LAUNCH_CYCLES * self.tile.limits.cores, 0.0)
        overhead = 1.0 / (1.0 + (tasks * _TASK_CYCLES + launch) / self.tile.cycles)
        useful = self._true_share(columns) * lanes / max(self.tile.lanes)
        chosen = self._choices(columns) * self._unconflicted(columns)
        chosen = chosen * self._unspilled(columns, multiply, bytes_loaded / (lanes * self.tile.element_bytes))
        share = self._with_stages(columns, self._with_stores(columns, share * useful * chosen))
        return np.asarray(share * busy * overhead, dtype=np.float64)

    def _with_stages(self, columns: Columns, share: Floats) -> Floats:
        """The share of peak when the cores compute the data stages too."""
        full = self.tile.limits.lanes(self.tile.facts.output.dtype)
        cycles = self.tile.facts.trips / (full * self.tile.group)
        stages: Floats = sum((stage_cycles(self.tile, stage, columns) for stage in self.tile.stages), np.zeros(1))
        return np.asarray(cycles / (cycles / np.maximum(share, 1e-9) + stages), dtype=np.float64)

    def _with_stores(self, columns: Columns, share: Floats) -> Floats:
        """The share of peak where several cores write into the same pages.

        Each core's prefetcher then takes lines that another core writes: where sums are too short to hide that, stores
        come at a fraction of the cache's rate.
        """
        output, cores = self.tile.facts.output, self.tile.limits.cores
        element = dtype_bits(output.dtype) // 8
        full = self.tile.limits.lanes(output.dtype)
        cycles = self.tile.facts.trips / (full * self.tile.group)
        late = max(0.0, math.prod(output.shape) * element / _SHARED_BYTES_PER_CYCLE - cycles)
        piece = self.tile.extent(self.tile.vector) * element / cores
        rows = np.ones(len(share))
        for axis in self.tile.outer_axes:
            rows = rows * self._column(columns, f"grid_{axis}")
        apart = (rows % cores == 0) & (self._column(columns, "grid_order") == 0)
        beside = (self._column(columns, f"grid_{self.tile.vector}") > 1) & ~apart & (cores > 1) & (piece < _PAGE_BYTES)
        return np.asarray(cycles / (cycles / np.maximum(share, 1e-9) + np.where(beside, late, 0.0)), dtype=np.float64)

    def _loads(self, columns: Columns) -> tuple[Floats, Floats]:
        """What one step of the reduction loads: elements for all lanes, and bytes of vectors."""
        broadcasts = vectors = np.zeros(len(columns[self.tile.name("vectors")]))
        for operand in self.tile.facts.operands:
            count = np.ones(len(broadcasts))
            for axis in self.tile.row_axes:
                if axis in operand.iterators:
                    count = count * self._column(columns, f"tile_{axis}")
            if self._is_rows(operand):
                broadcasts = broadcasts + count
            else:
                vectors = vectors + count * self._column(columns, "vectors")
        return broadcasts, vectors * self._column(columns, "lanes") * self.tile.element_bytes

    def _column(self, columns: Columns, name: str) -> Floats:
        """The values of a variable as floats; ones where the space has no such variable."""
        values = columns.get(self.tile.name(name))
        return np.ones(len(columns[self.tile.name("vectors")])) if values is None else values.astype(np.float64)

    def _rows(self, columns: Columns) -> Floats:
        rows = np.ones(len(columns[self.tile.name("vectors")]))
        for axis in self.tile.row_axes:
            rows = rows * self._column(columns, f"tile_{axis}")
        return rows

    def _true_share(self, columns: Columns) -> Floats:
        """Share of elements that are not padding when whole tiles cover every axis."""
        panel = self._column(columns, "vectors") * self._column(columns, "lanes")
        share = _covered(self.tile.extent(self.tile.vector), panel)
        for axis in self.tile.row_axes:
            share = share * _covered(self.tile.extent(axis), self._column(columns, f"tile_{axis}"))
        return share

    def _load_rate(self, columns: Columns) -> Floats:
        """Bytes a cycle at which a core loads what it reuses: a cache tile of panels, or one panel."""
        panel = self._column(columns, "panel") * self.tile.anchor.reduction * self.tile.element_bytes
        rows_outside = self._column(columns, "cache_order") == 0
        reused = np.where(rows_outside, panel * self._column(columns, f"cache_{self.tile.vector}"), panel)
        return self._rate_of(reused)

    def _row_rate(self, columns: Columns) -> Floats:
        """Bytes a cycle at which the rows' operand comes: every panel reads a cache tile of rows again, or one tile."""
        tile = np.maximum(self._rows(columns) * self.tile.element_bytes, self._row_bytes(columns))
        tile = tile * self.tile.anchor.reduction
        panels_outside = self._column(columns, "cache_order") == 1
        block = np.where(panels_outside, tile * self._sharing_tiles(columns), tile)
        whole = [math.prod(each.buffer.shape) for each in self.tile.facts.operands if self._is_rows(each)]
        return self._rate_of(np.minimum(block, float(max(whole, default=1)) * self.tile.element_bytes))

    def _row_bytes(self, columns: Columns) -> Floats:
        """Bytes of the rows' operand that one step of the reduction takes from its cache.

        Where the reduction goes along lines of the cache, those of its elements; else each step takes whole lines.
        """
        size, found = self.tile.element_bytes, np.zeros(len(columns[self.tile.name("vectors")]))
        for operand in filter(self._is_rows, self.tile.facts.operands):
            lines, along = np.ones(len(found)), np.ones(len(found))
            for axis in (axis for axis in self.tile.row_axes if axis in operand.iterators):
                rows, stride = self._column(columns, f"tile_{axis}"), abs(operand.stride_of(axis) or 0) * size
                lines, along = (lines, along * rows) if 0 < stride < _LINE_BYTES else (lines * rows, along)
            near = any(it.extent > 1 and operand.stride_of(it.name) == 1 for it in self.tile.facts.reduce)
            found = found + lines * (along * size if near else np.ceil(along * size / _LINE_BYTES) * _LINE_BYTES)
        return found

    def _is_rows(self, operand: Access) -> bool:
        return self.tile.vector not in operand.iterators

    def _rate_of(self, reused: Floats) -> Floats:
        """Bytes a cycle from the smallest cache that holds so many bytes with others beside them."""
        return load_rate(self.tile.limits, reused, _L2_SHARE)

    def _first_rate(self) -> float:
        """Bytes a cycle at which the packed operand comes when it is first needed: constants from memory."""
        anchor = self.tile.anchor
        elements = math.prod(self.tile.extent(axis) for axis in (*self.tile.packed_outer, *self.tile.packed_reduce))
        if anchor.packed is None or elements * self.tile.element_bytes <= self.tile.limits.l2_bytes * _L2_SHARE:
            return L2_BYTES_PER_CYCLE
        return _MEMORY_BYTES_PER_CYCLE if anchor.constant else L3_BYTES_PER_CYCLE

    def _sharing_tiles(self, columns: Columns) -> Floats:
        """How many register tiles of a task use what was loaded first for one of them."""
        tiles = np.ones(len(columns[self.tile.name("vectors")]))
        for axis in self.tile.row_axes:
            tiles = tiles * self._column(columns, f"cache_{axis}")
        return tiles

    def _unconflicted(self, columns: Columns) -> Floats:
        """Less where rows of a tile compete for the ways of the same sets of L1 because of how far apart they are."""
        axes = self.tile.row_axes
        strides = [self._bytes_apart(axis) for axis in axes]
        if not axes or None in strides:
            return np.ones(1)
        sizes = np.stack([columns[self.tile.name("tile", axis)] for axis in axes])
        bounds = tuple(sizes.max(axis=1) + 1)
        shapes, places = np.unique(np.ravel_multi_index(tuple(sizes), bounds), return_inverse=True)
        each = np.stack(np.unravel_index(shapes, bounds), axis=1)
        rows = np.array([_rows_in_one_set(shape, [stride or 0 for stride in strides]) for shape in each])
        ways = self.tile.limits.l1_bytes // _PAGE_BYTES
        return np.asarray(np.sqrt(np.minimum(1.0, ways / rows)))[places.reshape(-1)]

    def _unspilled(self, columns: Columns, accumulators: Floats, loaded: Floats) -> Floats:
        """Less where the `loaded` vectors do not fit the registers beside the accumulators, but have to stay there.

        A whole vector is an operand in memory of each of its multiply-adds, where the processor has such. One that may
        reach past the end of its row is loaded under a condition, once for all of them. The power is that of measured
        times (float32, AVX-512).
        """
        if self.tile.anchor.packed is not None:  # padded
            return np.ones(1)
        panel = self._column(columns, "vectors") * self._column(columns, "lanes")
        held = (self.tile.extent(self.tile.vector) % panel != 0) | (not self.tile.limits.memory_operands)
        stay = held & (accumulators > loaded)
        fits = np.minimum(1.0, self.tile.limits.vector_registers / (accumulators + loaded + 1))
        return np.where(stay, fits**_SPILLING, 1.0)

    def _bytes_apart(self, axis: str) -> int | None:
        """Bytes between neighbours along a row axis in the operand that is loaded row by row."""
        loaded = [access for access in self.tile.anchor.facts.operands if axis in access.iterators]
        stride = loaded[0].stride_of(axis) if loaded else None
        return None if stride is None else stride * self.tile.element_bytes

    def _choices(self, columns: Columns) -> Floats:
        score = np.where(columns[self.tile.name("unroll")] == 1, 1.0, 0.99)
        score = score * np.where(columns[self.tile.name("lanes")] == max(self.tile.lanes), 1.0, 0.98)
        if (pack := columns.get(self.tile.name("pack"))) is not None:
            reuse = math.prod(self.tile.extent(axis) for axis in self.tile.row_axes)
            score = score * np.where(pack == int(reuse >= _LEAST_PACKED_REUSE), 1.0, 0.8)
        return score


def _covered(extent: int, tile: Floats) -> Floats:
    return extent / (np.ceil(extent / tile) * tile)


def _rows_in_one_set(shape: npt.NDArray[np.int64], strides: Sequence[int]) -> int:
    """The most rows of a tile of this shape whose first elements are in one set of an L1 cache.

    A way spans a page (4096 bytes) on x86, whose L1 is indexed by the address within the page.
    """
    addresses = np.zeros(1, np.int64)
    for size, stride in zip(shape, strides, strict=True):
        addresses = np.add.outer(addresses, np.arange(size) * stride).reshape(-1)
    return int(np.bincount(addresses % _PAGE_BYTES // _LINE_BYTES).max())
