"""Contractions by tensor cores: which tiles of warps there are, and what they need of a block."""

from __future__ import annotations

import numpy as np

from flextune.analysis.program_facts import BlockFacts
from flextune.csp import In, Le, Prod, Select, Sum
from flextune.platforms.gpu.limits import GpuLimits
from flextune.platforms.gpu.matrix_form import MatrixAxes
from flextune.platforms.gpu.rules.contraction import ContractionRule, tile_extents
from flextune.platforms.gpu.tensor_tile import WARP, TensorTile
from flextune.platforms.gpu.wmma import FEATURE, SHAPES
from flextune.schedule.space import Columns, Draft
from flextune.target.target import Target

RULE = "gpu-tensor-tile"

_STORED, _SUM_BYTES = "uint16", 4
_OTHER_REGISTERS = 48
"""Addresses, copies in flight and the fragments of operands, beside the sums."""

_EXTENTS = (8, 16, 32, 64, 128, 256)


def fits_tensor_cores(block: BlockFacts, target: Target) -> bool:
    """Whether a product has operands that are stored as bfloat16, which the target's tensor cores take."""
    types = {access.buffer.dtype for access in block.reads}
    return target.has(FEATURE) and types == {_STORED} and block.output.dtype == "float32"


def apply_tensor_tile(draft: Draft, block: BlockFacts, axes: MatrixAxes, limits: GpuLimits, prefix: str) -> None:
    """Add the step, variables and constraints of one contraction."""
    _TensorTileRule(RULE, draft, block, axes, limits, prefix).apply()


class _TensorTileRule(ContractionRule):
    """See `apply_tensor_tile`."""

    def apply(self) -> None:
        names = {
            "shape": self.variable("shape", *self._shapes()),
            "warp_rows": self.variable("warp_rows", 1, 2, 4),
            "warp_columns": self.variable("warp_columns", 1, 2, 4),
            "row_tiles": self.variable("row_tiles", 1, 2, 4),
            "column_tiles": self.variable("column_tiles", 1, 2, 4),
            "depth": self.variable("depth", *tile_extents(self.steps, (16, 32, 64))),
            **self.copy_variables(),
        }
        self._require_threads(names)
        rows, columns = self._require_extents(names)
        self._require_shared(names, rows, columns)
        self._estimate(names, rows, columns)
        self.add(TensorTile, names)

    def _shapes(self) -> list[int]:
        """Shapes whose tiles of operands begin at multiples of the 32 bytes that wmma asks for."""
        return [
            index
            for index, (rows, columns, _) in enumerate(SHAPES)
            if not (rows == 8 and self.axes.left_rows_inside) and not (columns == 8 and self.axes.right_columns_inside)
        ]

    def _require_threads(self, names: dict[str, str]) -> None:
        threads, tiles, sums, registers, block_registers = (
            self.derived(name) for name in ("threads", "warp_tiles", "sums", "thread_registers", "block_registers")
        )
        limits = self.limits
        each = SHAPES[0][0] * SHAPES[0][1] // WARP
        self.draft.require(
            Prod(threads, (names["warp_rows"], names["warp_columns"], WARP),
                 name=self.label("threads_count"), rule=RULE),
            Le(threads, limits.threads, name=self.label("threads_limit"), rule=RULE,
               reason=f"a block has at most {limits.threads} threads"),
            Prod(tiles, (names["row_tiles"], names["column_tiles"]), name=self.label("warp_tiles_count"), rule=RULE),
            Prod(sums, (tiles, each), name=self.label("sums_count"), rule=RULE),
            Sum(registers, (sums, _OTHER_REGISTERS), name=self.label("thread_registers_count"), rule=RULE),
            Le(registers, limits.thread_registers, name=self.label("thread_registers_limit"), rule=RULE,
               reason=f"the fragments of a warp's sums fit the {limits.thread_registers} registers of its threads"),
            Prod(block_registers, (registers, threads), name=self.label("block_registers_count"), rule=RULE),
            Le(block_registers, limits.block_registers, name=self.label("block_registers_limit"), rule=RULE,
               reason=f"all threads of a block together have {limits.block_registers} registers"),
        )  # fmt: skip

    def _require_extents(self, names: dict[str, str]) -> tuple[str, str]:
        found = []
        for side, axis, extent, warps, tiles in (
            ("rows", 0, self.rows, "warp_rows", "row_tiles"),
            ("columns", 1, self.columns, "warp_columns", "column_tiles"),
        ):
            own, whole = self.derived(f"shape_{side}"), self.derived(side)
            options = tuple(shape[axis] for shape in SHAPES)
            self.draft.require(
                Select(own, names["shape"], options, name=self.label(f"shape_{side}_of"), rule=RULE,
                       reason="tensor cores multiply tiles with rows * columns * steps = 4096"),
                Prod(whole, (names[warps], names[tiles], own), name=self.label(f"{side}_count"), rule=RULE),
                In(whole, tile_extents(extent, _EXTENTS), name=self.label(f"{side}_waste"), rule=RULE,
                   reason=f"a tile is not much larger than the {extent} {side}"),
            )  # fmt: skip
            found.append(whole)
        return found[0], found[1]

    def _require_shared(self, names: dict[str, str], rows: str, columns: str) -> None:
        """Operands and sums lie in the same memory, one after the other."""
        left = self.tile_bytes("left", rows, names)
        right = self.tile_bytes("right", columns, names)
        operands, sums = self.derived("operands_shared_bytes"), self.derived("sums_shared_bytes")
        fits = f"of a block's {self.limits.shared_bytes} bytes"
        self.draft.require(
            Sum(operands, (left, right), name=self.label("operands_shared_bytes_sum"), rule=RULE),
            Le(operands, self.limits.shared_bytes, name=self.label("shared_limit"), rule=RULE,
               reason=f"both tiles with their padding are no more than {fits}"),
            Prod(sums, (rows, columns, _SUM_BYTES), name=self.label("sums_shared_bytes_count"), rule=RULE),
            Le(sums, self.limits.shared_bytes, name=self.label("sums_shared_limit"), rule=RULE,
               reason=f"the sums of a tile on their way to memory are no more than {fits}"),
        )  # fmt: skip

    def _estimate(self, names: dict[str, str], rows: str, columns: str) -> None:
        """Reuse of what is copied, and enough blocks to fill the processors."""
        extents, limits = (self.rows, self.columns), self.limits

        def estimate(columns_of: Columns) -> np.ndarray:
            r, c = columns_of[rows].astype(float), columns_of[columns].astype(float)
            blocks = np.ceil(extents[0] / r) * np.ceil(extents[1] / c)
            filled = blocks / (np.ceil(blocks / limits.processors) * limits.processors)
            useful = extents[0] * extents[1] / (blocks * r * c)
            wide = columns_of[names["left_vector"]] * columns_of[names["right_vector"]]
            padded = (columns_of[names["left_pad"]] > 0) + (columns_of[names["right_pad"]] > 0) + 1.0
            return np.asarray(useful * filled * (r * c / (r + c)) ** 0.7 * wide**0.2 * padded**0.3)

        self.draft.estimates.append(estimate)
