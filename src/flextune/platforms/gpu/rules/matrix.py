"""Contractions by tiles that threads multiply by themselves: what a tile may be."""

from __future__ import annotations

import numpy as np

from flextune.analysis.program_facts import BlockFacts
from flextune.csp import Divides, In, Le, Prod, Sum
from flextune.platforms.gpu.limits import GpuLimits
from flextune.platforms.gpu.matrix_form import MatrixAxes
from flextune.platforms.gpu.matrix_tile import MatrixTile
from flextune.platforms.gpu.rules.contraction import ContractionRule, tile_extents
from flextune.schedule.space import Columns, Draft, VariableRole

RULE = "gpu-matrix-tile"

_OTHER_REGISTERS = 40
"""Addresses, loop counters and operands in flight, beside the accumulators."""


def apply_matrix_tile(draft: Draft, block: BlockFacts, axes: MatrixAxes, limits: GpuLimits, prefix: str) -> None:
    """Add the step, variables and constraints of one contraction."""
    _MatrixTileRule(RULE, draft, block, axes, limits, prefix).apply()


class _MatrixTileRule(ContractionRule):
    """See `apply_matrix_tile`."""

    def apply(self) -> None:
        names = {
            "thread_rows": self.variable("thread_rows", 1, 2, 4, 8, 16, 32),
            "thread_columns": self.variable("thread_columns", 4, 8, 16, 32),
            "row_tile": self.variable("row_tile", 1, 2, 4, 8),
            "strides": self.variable("strides", 1, 2),
            "lanes": self.variable("lanes", 1, 2, 4),
            "depth": self.variable("depth", 8, 16, 32),
            **self.copy_variables(),
        }
        self._require_threads(names)
        self._require_shared(names)
        self._estimate(names)
        self.add(MatrixTile, names)

    def _require_threads(self, names: dict[str, str]) -> None:
        threads, accumulators, registers, block_registers = (
            self.derived(name) for name in ("threads", "accumulators", "thread_registers", "block_registers")
        )
        limits, label = self.limits, self.prefix
        self.draft.require(
            Prod(threads, (names["thread_rows"], names["thread_columns"]), name=f"{label}threads_count", rule=RULE),
            Le(threads, limits.threads, name=f"{label}threads_limit", rule=RULE,
               reason=f"a block has at most {limits.threads} threads"),
            Divides(limits.warp, threads, name=f"{label}whole_warps", rule=RULE,
                    reason=f"threads run in warps of {limits.warp}"),
            Prod(accumulators, (names["row_tile"], names["strides"], names["lanes"]),
                 name=f"{label}accumulators_count", rule=RULE),
            Sum(registers, (accumulators, names["row_tile"], names["lanes"], _OTHER_REGISTERS),
                name=f"{label}thread_registers_count", rule=RULE),
            Le(registers, limits.thread_registers, name=f"{label}thread_registers_limit", rule=RULE,
               reason=f"a thread has {limits.thread_registers} registers, or values are spilled to memory"),
            Prod(block_registers, (registers, threads), name=f"{label}block_registers_count", rule=RULE),
            Le(block_registers, limits.block_registers, name=f"{label}block_registers_limit", rule=RULE,
               reason=f"all threads of a block together have {limits.block_registers} registers"),
        )  # fmt: skip

    def _require_shared(self, names: dict[str, str]) -> None:
        rows, columns = self.derived("rows"), self.derived("columns")
        self.draft.require(
            Prod(rows, (names["thread_rows"], names["row_tile"]), name=f"{self.prefix}rows_count", rule=RULE),
            Prod(columns, (names["thread_columns"], names["strides"], names["lanes"]),
                 name=f"{self.prefix}columns_count", rule=RULE),
            In(rows, tile_extents(self.rows, (1, 2, 4, 8, 16, 32, 64, 128, 256)), name=f"{self.prefix}rows_waste",
               rule=RULE, reason=f"a tile is not much larger than the {self.rows} rows"),
            In(columns, tile_extents(self.columns, (4, 8, 16, 32, 64, 128, 256)), name=f"{self.prefix}columns_waste",
               rule=RULE, reason=f"a tile is not much larger than the {self.columns} columns"),
            In(names["depth"], tile_extents(self.steps, (8, 16, 32)), name=f"{self.prefix}depth_waste", rule=RULE,
               reason=f"a step is not much longer than the {self.steps} products of an element"),
        )  # fmt: skip
        left = self.tile_bytes("left", rows, names)
        right = self.tile_bytes("right", columns, names)
        shared = self.derived("shared_bytes")
        self.draft.require(
            Sum(shared, (left, right), name=f"{self.prefix}shared_bytes_sum", rule=RULE),
            Le(shared, self.limits.shared_bytes, name=f"{self.prefix}shared_limit", rule=RULE,
               reason=f"both tiles with their padding fit the {self.limits.shared_bytes} bytes of a block"),
        )  # fmt: skip

    def _estimate(self, names: dict[str, str]) -> None:
        """Reuse of what is copied, and enough blocks to fill the processors."""
        rows, columns, limits = self.rows, self.columns, self.limits
        tile = [VariableRole(name, prefix=self.prefix).name for name in ("rows", "columns", "threads", "accumulators")]

        def estimate(columns_of: Columns) -> np.ndarray:
            r, c, threads, accumulators = (columns_of[name].astype(float) for name in tile)
            blocks = np.ceil(rows / r) * np.ceil(columns / c)
            waves = np.ceil(blocks / limits.processors)
            useful = rows * columns / (blocks * r * c)
            reuse = 1.0 / (1.0 / r + 1.0 / c)
            wide = columns_of[names["left_vector"]] * columns_of[names["right_vector"]]
            padded = (columns_of[names["left_pad"]] > 0) + 0.5
            filled = blocks / (waves * limits.processors)
            busy = np.minimum(threads, 256.0) / 256.0
            return np.asarray(
                useful * filled * np.minimum(reuse, 64) ** 0.7 * accumulators**0.5 * busy * wide**0.1 * padded**0.1
            )

        self.draft.estimates.append(estimate)
