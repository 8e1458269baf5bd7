"""The analytical estimate of a Winograd schedule: it picks the default schedule, and excludes nothing."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from flextune.platforms.cpu.rules.cache_rates import L2_BYTES_PER_CYCLE, L3_BYTES_PER_CYCLE, Floats, load_rate
from flextune.platforms.cpu.rules.winograd_geometry import WinogradGeometry
from flextune.schedule.space import Columns

_MULTIPLIERS = 2.0
_HIDDEN_LATENCY = 10.0  # independent multiply-adds that keep both multipliers busy
_DATA_CYCLES, _RESULT_CYCLES = 5.0, 4.0  # of a vector at one point, for loads, arithmetic and stores
_TASK_CYCLES = 2000.0
_COPY_TIMES = 1.2


@dataclass(frozen=True, slots=True)
class WinogradEstimate:
    """One over the estimated cycles of one core: products, transforms, and the caches that they reach."""

    shape: WinogradGeometry

    def __call__(self, columns: Columns) -> Floats:
        tasks = self._column(columns, "tasks")
        idle = np.ceil(tasks / self.shape.limits.cores) * self.shape.limits.cores / tasks
        cycles = self._product_cycles(columns) + self._transform_cycles(columns) + self._spill_cycles(columns)
        return np.asarray(1.0 / (cycles * idle + tasks * _TASK_CYCLES), dtype=np.float64)

    def _column(self, columns: Columns, name: str) -> Floats:
        values = columns.get(self.shape.name(name))
        return np.zeros(len(columns[self.shape.name("tasks")])) if values is None else values.astype(np.float64)

    @property
    def _points(self) -> int:
        return self.shape.inputs**2

    def _product_cycles(self, columns: Columns) -> Floats:
        """Multiply-adds of vectors against the loads of what they multiply."""
        shape, vectors = self.shape, self._column(columns, "vectors")
        rows = self._column(columns, "tile_ty") * self._column(columns, "tile_tx")
        lanes = shape.lanes(shape.co)
        multiply = rows * vectors
        load = _MULTIPLIERS * (vectors * lanes * shape.element_bytes / self._weight_rate(columns) + 0.5 * rows)
        step = (np.maximum(multiply, load) + 0.1 * load) / np.minimum(1.0, multiply / _HIDDEN_LATENCY)
        step = step + multiply * 4.0 / shape.ci  # zeroing and storing the accumulators
        steps = self._points * self.shape.tiles * shape.ci * (shape.co / lanes) / multiply
        return np.asarray(steps * step / _MULTIPLIERS, dtype=np.float64)

    def _weight_rate(self, columns: Columns) -> Floats:
        """Bytes a cycle at which weights arrive: once from where they are, and again for each register tile after."""
        limits = self.shape.limits
        uses = self._column(columns, "cache_ty") * self._column(columns, "cache_tx")
        panel = self._column(columns, "vectors") * self.shape.lanes(self.shape.co) * self.shape.ci
        panels = np.where(self._column(columns, "cache_order") == 0, 1.0, self._column(columns, "cache_co"))
        between = panel * panels * self.shape.element_bytes
        again = load_rate(limits, between)
        stay = (self._task_bytes(columns) <= limits.l2_bytes) & self._keeps_weights(columns)
        once = np.where(stay, L2_BYTES_PER_CYCLE, L3_BYTES_PER_CYCLE)
        return np.asarray(uses / (1.0 / once + (uses - 1.0) / again), dtype=np.float64)

    def _keeps_weights(self, columns: Columns) -> npt.NDArray[np.bool_]:
        """Whether a core's next task needs the same weights."""
        again = (self._column(columns, "grid_order") == 1) | (self._column(columns, "grid_co") == 1)
        return np.asarray(again & (self._column(columns, "tasks") > 2 * self._column(columns, "grid_co")))

    def _task_bytes(self, columns: Columns) -> Floats:
        """What a task reads and writes: its transformed weights and data, and its products."""
        shape = self.shape
        channels = self._task_channels(columns)
        tiles = self._column(columns, "block_ty") * self._column(columns, "block_tx")
        elements = shape.ci * channels + tiles * (shape.ci + channels)
        return np.asarray(self._points * elements * shape.element_bytes, dtype=np.float64)

    def _task_channels(self, columns: Columns) -> Floats:
        panels = self._column(columns, "vectors") * self._column(columns, "cache_co")
        return np.asarray(panels * self.shape.lanes(self.shape.co), dtype=np.float64)

    def _transform_cycles(self, columns: Columns) -> Floats:
        shape = self.shape
        before = self._column(columns, "spectrum_at") == 1
        times = np.where(before, 1.0, self._column(columns, "grid_co"))
        guard = np.where(self._column(columns, "pad_at") == 1, _COPY_TIMES, 1.0)
        data = self._points * self.shape.tiles * (shape.ci / shape.lanes(shape.ci)) * _DATA_CYCLES * guard
        result = self._points * self.shape.tiles * (shape.co / shape.lanes(shape.co)) * _RESULT_CYCLES
        return np.asarray(data * times + result, dtype=np.float64)

    def _spill_cycles(self, columns: Columns) -> Floats:
        """Transformed data and products that leave L2 and come back."""
        shape, limits = self.shape, self.shape.limits
        whole = self._points * self.shape.tiles * shape.element_bytes
        tiles = self._column(columns, "block_ty") * self._column(columns, "block_tx")
        kept = self._points * tiles * shape.element_bytes * (shape.ci + self._task_channels(columns))
        spilled = np.where(kept <= limits.l2_bytes, 0.0, whole * (shape.ci + shape.co))
        shared = np.where(self._column(columns, "spectrum_at") == 1, whole * shape.ci, 0.0)
        return np.asarray(2.0 * np.maximum(spilled, shared) / L3_BYTES_PER_CYCLE, dtype=np.float64)
