"""Contractions by tensor cores: which tiles of warps there are, and what they need of a block."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from flextune.analysis.program_facts import BlockFacts
from flextune.csp import Divides, In, Le, Prod, Select, Sum
from flextune.platforms.gpu.limits import GpuLimits
from flextune.platforms.gpu.matrix_form import MatrixAxes
from flextune.platforms.gpu.rules.contraction import ContractionRule, tile_extents
from flextune.platforms.gpu.tensor_tile import WARP, TensorTile
from flextune.platforms.gpu.tensor_types import TensorType, tensor_type
from flextune.schedule.space import Columns, Draft, VariableRole
from flextune.target.target import Target

RULE = "gpu-tensor-tile"

_OTHER_REGISTERS = 48
"""Addresses, copies in flight and the fragments of operands, beside the sums."""

_EXTENTS = (8, 16, 32, 64, 128, 256)
_LEAST_COPY = 4
SWIZZLED_BYTES = 128
"""All banks once: pieces of swizzled tiles stay within so many."""

_WMMA_ALIGNMENT = 32
"""Bytes at whose multiples wmma's tiles begin."""


def apply_tensor_tile(draft: Draft, block: BlockFacts, axes: MatrixAxes, limits: GpuLimits, prefix: str) -> bool:
    """Add the step, variables and constraints of one contraction, if the target's tensor cores take its operands."""
    kind = tensor_type(block)
    shapes = _shapes(kind, axes, draft.target) if kind is not None else ()
    if kind is None or not shapes:
        return False
    _TensorTileRule(RULE, draft, block, axes, limits, prefix).apply(kind, shapes)
    return True


def _shapes(kind: TensorType, axes: MatrixAxes, target: Target) -> tuple[int, ...]:
    """The numbers of the shapes that the target has, whose tiles of operands can begin where the instruction asks."""
    inside = [axis for axis, is_inside in enumerate((axes.left_rows_inside, axes.right_columns_inside)) if is_inside]
    return tuple(
        number
        for number in kind.available(target)
        if kind.shapes[number] == kind.mma
        or all(kind.shapes[number][axis] * kind.bytes % _WMMA_ALIGNMENT == 0 for axis in inside)
    )


class _TensorTileRule(ContractionRule):
    """See `apply_tensor_tile`."""

    def apply(self, kind: TensorType, shapes: tuple[int, ...]) -> None:
        self.kind, least = kind, min(kind.shapes[number][2] for number in shapes)
        names = {
            "shape": self.variable("shape", *shapes),
            "warp_rows": self.variable("warp_rows", 1, 2, 4),
            "warp_columns": self.variable("warp_columns", 1, 2, 4),
            "row_tiles": self.variable("row_tiles", 1, 2, 4),
            "column_tiles": self.variable("column_tiles", 1, 2, 4, 8),
            "depth": self.variable("depth", *tile_extents(self.steps, (least, 2 * least, 4 * least, 8 * least))),
            **self.copy_variables(),
            "stages": self.variable("stages", *self._stages()),
            "swizzle": self.variable("swizzle", *((0, 1) if kind.shapes.index(kind.mma) in shapes else (0,))),
        }
        self._require_depth(names)
        self._require_threads(names)
        rows, columns = self._require_extents(names)
        self._require_shared(names, rows, columns)
        self._require_stages(names)
        self._require_swizzle(names)
        self._estimate(names, rows, columns)
        self.add(TensorTile, names)

    def _of_shape(self, name: str, values: Sequence[int], names: dict[str, str], reason: str = "") -> str:
        """A number that the shape decides."""
        found = self.derived(name)
        label = self.label(f"{name}_of")
        self.draft.require(Select(found, names["shape"], tuple(values), name=label, rule=RULE, reason=reason))
        return found

    def _require_depth(self, names: dict[str, str]) -> None:
        """Steps are of whole instructions; those of wmma begin where it reads."""
        axes, kind, most = self.axes, self.kind, 8 * max(shape[2] for shape in self.kind.shapes)
        steps_inside = not (axes.left_rows_inside and axes.right_columns_inside)
        single = [
            steps if steps_inside and number < len(kind.wmma) and steps * kind.bytes % _WMMA_ALIGNMENT else most
            for number, (_, _, steps) in enumerate(kind.shapes)
        ]
        each = self._of_shape("shape_steps", [shape[2] for shape in kind.shapes], names)
        longest = self._of_shape("longest_depth", single, names)
        self.draft.require(
            Divides(each, names["depth"], name=self.label("whole_steps"), rule=RULE,
                    reason="a step is of whole instructions"),
            Le(names["depth"], longest, name=self.label("steps_aligned"), rule=RULE,
               reason=f"wmma reads tiles that begin at multiples of {_WMMA_ALIGNMENT} bytes"),
        )  # fmt: skip

    def _require_threads(self, names: dict[str, str]) -> None:
        threads, tiles, sums, registers, block_registers = (
            self.derived(name) for name in ("threads", "warp_tiles", "sums", "thread_registers", "block_registers")
        )
        limits = self.limits
        each = self._of_shape("shape_sums", [rows * columns // WARP for rows, columns, _ in self.kind.shapes], names)
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
            options, whole = [shape[axis] for shape in self.kind.shapes], self.derived(side)
            own = self._of_shape(f"shape_{side}", options, names, "the shapes that tensor cores multiply")
            self.draft.require(
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
        step, fits = self.derived("step_bytes"), f"of a block's {self.limits.shared_bytes} bytes"
        self.draft.require(
            Sum(step, (left, right), name=self.label("step_shared_bytes_sum"), rule=RULE),
            Prod(operands, (step, names["stages"]), name=self.label("operands_shared_bytes_count"), rule=RULE),
            Le(operands, self.limits.shared_bytes, name=self.label("shared_limit"), rule=RULE,
               reason=f"both tiles of all stages with their padding are no more than {fits}"),
            Prod(sums, (rows, columns, self.kind.sum_bytes), name=self.label("sums_shared_bytes_count"), rule=RULE),
            Le(sums, self.limits.shared_bytes, name=self.label("sums_shared_limit"), rule=RULE,
               reason=f"the sums of a tile on their way to memory are no more than {fits}"),
        )  # fmt: skip

    def _stages(self) -> tuple[int, ...]:
        """Several where copies can be asynchronous at all."""
        return (1, 2, 3, 4) if self.draft.target.has("cp_async") and self.steps > 1 else (1,)

    def _require_stages(self, names: dict[str, str]) -> None:
        """Asynchronous copies are of 4 bytes or more, and there are steps to be ahead of."""
        ahead, products = self.derived("stages_ahead"), self.derived("products_ahead")
        least = self.derived("least_copy")
        self.draft.require(
            Select(ahead, names["stages"], (0, 0, 1, 2, 3), name=self.label("stages_ahead_of"), rule=RULE),
            Prod(products, (ahead, names["depth"]), name=self.label("products_ahead_count"), rule=RULE),
            Le(products, self.steps - 1, name=self.label("stages_limit"), rule=RULE,
               reason=f"the {self.steps} products of an element are of more steps than are copied ahead"),
            Select(least, names["stages"], (0, 0, *[_LEAST_COPY] * 3), name=self.label("least_copy_of"), rule=RULE),
        )  # fmt: skip
        for side in ("left", "right"):
            copied = self.derived(f"{side}_copy_bytes")
            self.draft.require(
                Prod(copied, (names[f"{side}_vector"], self.bytes[side]), name=self.label(f"{side}_copy_bytes_count"),
                     rule=RULE),
                Le(least, copied, name=self.label(f"{side}_copies_asynchronous"), rule=RULE,
                   reason=f"asynchronous copies are of {_LEAST_COPY} bytes or more"),
            )  # fmt: skip

    def _require_swizzle(self, names: dict[str, str]) -> None:
        """Only `ldmatrix` reads swizzled tiles, which are of whole lines and not padded."""
        line, pad = self.derived("line_bytes"), self.derived("longest_pad")
        allowed = self._of_shape("longest_swizzle", [int(shape == self.kind.mma) for shape in self.kind.shapes], names)
        widest = self.limits.copy_bytes // min(self.bytes.values())
        self.draft.require(
            Le(names["swizzle"], allowed, name=self.label("swizzle_shape"), rule=RULE,
               reason="wmma reads rows that lie one after the other, ldmatrix any pieces"),
            Select(line, names["swizzle"], (1, SWIZZLED_BYTES), name=self.label("line_bytes_of"), rule=RULE),
            Select(pad, names["swizzle"], (widest, 0), name=self.label("longest_pad_of"), rule=RULE),
        )  # fmt: skip
        for side in ("left", "right"):
            total = VariableRole(f"{side}_bytes", prefix=self.prefix).name
            self.draft.require(
                Le(names[f"{side}_pad"], pad, name=self.label(f"{side}_swizzle_unpadded"), rule=RULE,
                   reason="a swizzled tile has no need of padding"),
                Divides(line, total, name=self.label(f"{side}_swizzle_lines"), rule=RULE,
                        reason=f"pieces are exchanged within {SWIZZLED_BYTES} bytes, which are of one tile"),
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
            padded = padded + 2.0 * columns_of[names["swizzle"]]  # no conflicts on either side
            ahead = np.minimum(columns_of[names["stages"]], 3)
            return np.asarray(useful * filled * (r * c / (r + c)) ** 0.7 * wide**0.2 * padded**0.3 * ahead**0.3)

        self.draft.estimates.append(estimate)
