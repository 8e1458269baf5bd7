"""Contractions by tiles: which iterators are rows, columns and steps, and what a tile of them may be."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from flextune.analysis.program_facts import Access, BlockFacts, BlockKind, ProgramFacts
from flextune.csp import Divides, In, Le, Prod, Sum
from flextune.platforms.gpu.limits import GpuLimits
from flextune.platforms.gpu.matrix_tile import MatrixTile
from flextune.schedule.space import Columns, Draft, VariableRole
from flextune.workload.element_type import element_type

RULE = "gpu-matrix-tile"

_OTHER_REGISTERS = 40
"""Addresses, loop counters and operands in flight, beside the accumulators."""

_LARGEST_TILE = 256

_LEAST_EXTENT = 8
"""Of rows and columns together with the reduction: smaller products are left to one thread per element."""


@dataclass(frozen=True, slots=True)
class ProductAxes:
    """The iterators of a contraction as those of a product of matrices; see `matrix_form.MatrixAxes`."""

    batch: tuple[str, ...]
    rows: tuple[str, ...]
    columns: tuple[str, ...]
    reduce: tuple[str, ...]
    left: int
    left_rows_inside: bool
    right_columns_inside: bool


def product_axes(block: BlockFacts) -> ProductAxes | None:
    """A contraction's iterators by what they are; None where it is no product of two matrices."""
    if block.kind is not BlockKind.CONTRACTION or block.is_symbolic or len(block.reads) != 2:
        return None
    if block.reads[0].buffer == block.reads[1].buffer:
        return None
    used = [access.iterators for access in block.reads]
    if any(not (it.name in used[0] and it.name in used[1]) for it in block.reduce):
        return None
    if block.writes[0].plain_axes() is None:
        return None
    spatial = [it.name for it in block.spatial]
    batch = tuple(name for name in spatial if name in used[0] and name in used[1])
    own = [tuple(name for name in spatial if name in used[side] and name not in used[1 - side]) for side in (0, 1)]
    if len(batch) + len(own[0]) + len(own[1]) != len(spatial) or not own[0] or not own[1]:
        return None
    innermost = [name for name in spatial if block.extent(name) > 1][-1:]
    right = 0 if innermost and innermost[0] in own[0] else 1
    left = 1 - right
    inside = [_contiguous(block.reads[side], own[side]) for side in (left, right)]
    reduce = tuple(it.name for it in block.reduce)
    return ProductAxes(batch, own[left], own[right], reduce, left, inside[0], inside[1])


def _contiguous(access: Access, names: Sequence[str]) -> bool:
    """Whether memory is contiguous along one of these iterators."""
    return any(access.stride_of(name) == 1 for name in names)


def size_of(block: BlockFacts, names: Sequence[str]) -> int:
    return math.prod(block.extent(name) for name in names)


def tileable(block: BlockFacts, axes: ProductAxes) -> bool:
    """Whether there is enough to reuse for a tile to be worth its padding."""
    rows, columns, steps = (size_of(block, names) for names in (axes.rows, axes.columns, axes.reduce))
    return min(rows, columns) >= _LEAST_EXTENT and steps >= _LEAST_EXTENT


def apply_matrix_tile(draft: Draft, block: BlockFacts, axes: ProductAxes, limits: GpuLimits, prefix: str) -> None:
    """Add the step, variables and constraints of one contraction."""
    draft.used(RULE)
    MatrixTileRule(draft, block, axes, limits, prefix).apply()


class MatrixTileRule:
    """See `apply_matrix_tile`."""

    def __init__(self, draft: Draft, block: BlockFacts, axes: ProductAxes, limits: GpuLimits, prefix: str) -> None:
        self.draft, self.block, self.axes, self.limits, self.prefix = draft, block, axes, limits, prefix
        sizes = [element_type(access.buffer.dtype).bytes for access in block.reads]
        self.left_bytes, self.right_bytes = sizes[axes.left], sizes[1 - axes.left]
        self.rows, self.columns = size_of(block, axes.rows), size_of(block, axes.columns)
        self.steps = size_of(block, axes.reduce)

    def variable(self, purpose: str, *values: int) -> str:
        return self.draft.variable(VariableRole(purpose, prefix=self.prefix), values)

    def derived(self, purpose: str) -> str:
        return self.draft.derived(VariableRole(purpose, prefix=self.prefix))

    def apply(self) -> None:
        names = {
            "thread_rows": self.variable("thread_rows", 1, 2, 4, 8, 16, 32),
            "thread_columns": self.variable("thread_columns", 4, 8, 16, 32),
            "row_tile": self.variable("row_tile", 1, 2, 4, 8),
            "strides": self.variable("strides", 1, 2),
            "lanes": self.variable("lanes", 1, 2, 4),
            "depth": self.variable("depth", 8, 16, 32),
            "left_pad": self.variable("left_pad", 0, 16 // self.left_bytes),
            "right_pad": self.variable("right_pad", 0, 16 // self.right_bytes),
            "left_vector": self.variable("left_vector", *copy_widths(self.block, self.axes.left, self.limits)),
            "right_vector": self.variable("right_vector", *copy_widths(self.block, 1 - self.axes.left, self.limits)),
        }
        self._require_threads(names)
        self._require_shared(names)
        self._estimate(names)
        axes, inlined = self.axes, surrounding_blocks(self.draft.program, self.block)
        self.draft.add(
            MatrixTile(
                self.block.name, axes.batch, axes.rows, axes.columns, axes.reduce, axes.left,
                int(axes.left_rows_inside), int(axes.right_columns_inside), inlined, **names,
            )
        )  # fmt: skip
        self.draft.scheduled |= {self.block.name, *inlined}

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
        left = self._tile_bytes("left", rows, names, self.axes.left_rows_inside, self.left_bytes)
        right = self._tile_bytes("right", columns, names, self.axes.right_columns_inside, self.right_bytes)
        shared = self.derived("shared_bytes")
        self.draft.require(
            Sum(shared, (left, right), name=f"{self.prefix}shared_bytes_sum", rule=RULE),
            Le(shared, self.limits.shared_bytes, name=f"{self.prefix}shared_limit", rule=RULE,
               reason=f"both tiles with their padding fit the {self.limits.shared_bytes} bytes of a block"),
        )  # fmt: skip

    def _tile_bytes(self, side: str, other: str, names: dict[str, str], other_inside: bool, size: int) -> str:
        """The bytes of a tile with its padding; its copies are shared evenly, and start where they are aligned."""
        row, outer = (other, names["depth"]) if other_inside else (names["depth"], other)
        padded, total = self.derived(f"{side}_row"), self.derived(f"{side}_bytes")
        copied, share = self.derived(f"{side}_copied"), self.derived(f"{side}_share")
        pad, vector = names[f"{side}_pad"], names[f"{side}_vector"]
        threads = VariableRole("threads", prefix=self.prefix).name
        self.draft.require(
            Sum(padded, (row, pad), name=f"{padded}_sum", rule=RULE),
            Prod(total, (outer, padded, size), name=f"{total}_count", rule=RULE),
            Prod(copied, (row, outer), name=f"{copied}_count", rule=RULE),
            Prod(share, (threads, vector), name=f"{share}_count", rule=RULE),
            Divides(share, copied, name=f"{self.prefix}{side}_copies_even", rule=RULE,
                    reason="every thread copies equally much of a tile"),
            Divides(vector, row, name=f"{self.prefix}{side}_copies_aligned", rule=RULE,
                    reason="a copy lies in one row of the tile, at a multiple of its length"),
        )  # fmt: skip
        return total

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


def copy_widths(block: BlockFacts, operand: int, limits: GpuLimits) -> list[int]:
    """Elements of an operand per copy, where memory is contiguous and aligned for them."""
    access = block.reads[operand]
    size = element_type(access.buffer.dtype).bytes
    row = access.buffer.shape[-1] if access.plain_axes() is not None else 1
    whole = all(it.extent % _LARGEST_TILE == 0 for it in block.iterators)
    widest = limits.copy_bytes // size if whole else 4  # TVM has no longer vectors of zeros for what lies past the end
    return [n for n in (1, 2, 4, 8, 16) if n * size <= limits.copy_bytes and n <= widest and row % n == 0]


def tile_extents(extent: int, sizes: Sequence[int]) -> tuple[int, ...]:
    """The sizes that are at most twice an extent, or the smallest."""
    return tuple(size for size in sizes if size < 2 * extent) or (min(sizes),)


def surrounding_blocks(program: ProgramFacts, block: BlockFacts) -> tuple[str, ...]:
    """Blocks that only feed this one and only move elements, and the chain of element-wise blocks after it."""
    found: list[str] = []
    front = [block]
    while front:
        for producer in program.producers(front.pop()):
            if is_cheap(producer) and all(each.name in (*found, block.name) for each in program.consumers(producer)):
                found.append(producer.name)
                front.append(producer)
    last = block
    while True:
        consumers = program.consumers(last)
        if len(consumers) != 1 or not follows(consumers[0], last) or last.output.parameter is not None:
            return tuple(found)
        last = consumers[0]
        found.append(last.name)


def is_cheap(block: BlockFacts) -> bool:
    """Whether a block may be computed again wherever it is read: padding, casts, reshapes."""
    return block.kind is BlockKind.ELEMENTWISE and len(block.reads) == 1


def follows(block: BlockFacts, producer: BlockFacts) -> bool:
    """Whether a block has an element for each of the producer's, at the same place, and reads it once."""
    if block.kind is not BlockKind.ELEMENTWISE or block.is_symbolic:
        return False
    reads = [access for access in block.reads if access.buffer == producer.output]
    own = tuple(it.name for it in block.spatial)
    extents = [it.extent for it in block.spatial] == list(producer.output.shape)
    return len(reads) == 1 and extents and _identity(reads[0], own) and _identity(block.writes[0], own)


def _identity(access: Access, names: tuple[str, ...]) -> bool:
    axes = access.plain_axes()
    return (
        axes is not None
        and all(axis in (name, None) for axis, name in zip(axes, names, strict=True))
        and (len(axes) == len(names))
    )
