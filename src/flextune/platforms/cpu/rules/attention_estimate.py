"""The analytical estimate of an attention schedule: it picks the default schedule, and excludes nothing."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from flextune.platforms.cpu.rules.attention_shape import AttentionShape
from flextune.platforms.cpu.rules.cache_rates import L2_BYTES_PER_CYCLE, L3_BYTES_PER_CYCLE, Floats, load_rate
from flextune.schedule.space import Columns

_MULTIPLIERS = 2.0
_HIDDEN_LATENCY = 10.0  # independent multiply-adds that keep both multipliers busy
_EXP_CYCLES = 14.0  # of a vector: the exponential, its sum, comparing scores
_ROW_CYCLES = 60.0  # of combining the lanes of a row, twice
_TRANSPOSE_CYCLES = 8.0  # of a vector of keys
_COPY_CYCLES = 2.0
_BEFORE_CYCLES = 1000.0  # one more parallel loop
_TASK_CYCLES = 500.0


@dataclass(frozen=True, slots=True)
class AttentionEstimate:
    """One over the estimated cycles of one core: both products, the softmax between them, packing."""

    shape: AttentionShape

    def __call__(self, columns: Columns) -> Floats:
        shape = self.shape
        tasks = self._column(columns, "grid") * shape.matrices
        idle = np.ceil(tasks / shape.limits.cores) * shape.limits.cores / tasks
        strips = self._column(columns, "strips") * tasks
        per_strip = self._products(columns) + self._softmax(columns)
        cycles = strips * per_strip + self._packing(columns, tasks) + tasks * _TASK_CYCLES
        before = np.where(self._column(columns, "keys_before") == 1, _BEFORE_CYCLES * shape.limits.cores, 0.0)
        unrolled = np.where(self._column(columns, "unroll") == 1, 1.0, 0.995)
        return np.asarray(unrolled / (cycles * idle + before), dtype=np.float64)

    def _column(self, columns: Columns, name: str) -> Floats:
        return columns[name].astype(np.float64)

    def _key_block(self, columns: Columns) -> Floats:
        return self._column(columns, "key_block") if self.shape.online else np.full(1, float(self.shape.keys))

    def _products(self, columns: Columns) -> Floats:
        """Cycles of both register tiles over all of their columns, for one strip."""
        shape, rows = self.shape, self._column(columns, "rows")
        block = self._key_block(columns)
        keys = np.minimum(block, shape.keys) * shape.element_bytes
        scores = self._tile(rows, self._column(columns, "score_vectors"), keys * shape.depth_steps, shape.keys)
        values = self._tile(
            rows, self._column(columns, "value_vectors"), keys * shape.columns / shape.group, shape.columns
        )
        total = scores * shape.depth_steps + values * np.ceil(shape.keys / shape.group)
        if shape.online:  # results are loaded, rescaled and stored with each block
            total = total + np.ceil(shape.keys / block) * rows * np.ceil(shape.columns / shape.lanes) * 2.0
        return np.asarray(total, dtype=np.float64)

    def _tile(self, rows: Floats, vectors: Floats, reused: Floats, extent: int) -> Floats:
        """Cycles of one step of the reduction over all columns of a strip."""
        shape, count = self.shape, -(-extent // self.shape.lanes)
        rate = load_rate(shape.limits, reused * np.ones(len(rows)))

        def step(width: Floats) -> Floats:
            multiply = rows * width
            load = _MULTIPLIERS * (width * shape.lanes * shape.element_bytes / rate + 0.5 * rows)
            useful = np.maximum(np.minimum(1.0, multiply / _HIDDEN_LATENCY), 1e-3)
            return np.asarray((np.maximum(multiply, load) + 0.1 * load) / useful / _MULTIPLIERS)

        rest = np.mod(count, vectors)
        return np.asarray(np.floor(count / vectors) * step(vectors) + np.where(rest > 0, step(rest), 0.0))

    def _softmax(self, columns: Columns) -> Floats:
        shape, rows = self.shape, self._column(columns, "rows")
        blocks = np.ceil(shape.keys / self._key_block(columns))
        vectors = -(-shape.keys // shape.lanes)
        return np.asarray(rows * (vectors * _EXP_CYCLES + blocks * _ROW_CYCLES), dtype=np.float64)

    def _packing(self, columns: Columns, tasks: Floats) -> Floats:
        """Cycles of all tasks: keys once for each task, or once for all; values for each task or never."""
        shape = self.shape
        cost = _TRANSPOSE_CYCLES if shape.transposes_keys else _COPY_CYCLES
        keys = shape.keys * shape.depth_steps / shape.lanes
        whole = keys * shape.element_bytes * shape.lanes * shape.matrices
        fetched = (
            keys
            * shape.lanes
            * shape.element_bytes
            / (L2_BYTES_PER_CYCLE if whole <= shape.limits.l2_bytes else L3_BYTES_PER_CYCLE)
        )
        before = self._column(columns, "keys_before") == 1
        packed = np.where(before, shape.matrices * keys * cost + tasks * fetched, tasks * keys * cost)
        values = shape.keys * np.ceil(shape.columns / shape.lanes) * _COPY_CYCLES
        return np.asarray(packed + np.where(self._column(columns, "pack_values") == 1, tasks * values, 0.0))
