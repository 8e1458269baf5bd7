"""The step that schedules a contraction for threads that multiply by themselves (SIMT)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from flextune.platforms.gpu.matrix_form import MatrixAxes, matrix_form
from flextune.schedule.step import Program, Step, value_of
from flextune.tvm_types import BlockHandle, LoopHandle, Schedule

SHARED = "shared.dyn"
"""Dynamic: a block may have more of it than of static shared memory."""


@dataclass(frozen=True, slots=True)
class MatrixTile(Step):
    """Compute a contraction by blocks of threads, each with its part of the tile in registers.

    A block of `thread_rows` x `thread_columns` threads computes `row_tile` rows and `strides` times `lanes` columns for
    each of them; it copies `depth` steps of both operands into shared memory at a time, `left_vector` and
    `right_vector` elements per copy, in rows that are `left_pad` and `right_pad` elements longer than needed.
    """

    kind: ClassVar[str] = "gpu_matrix_tile"
    block: str
    batch: tuple[str, ...]
    rows: tuple[str, ...]
    columns: tuple[str, ...]
    reduce: tuple[str, ...]
    left: int
    left_rows_inside: int
    right_columns_inside: int
    inlined: tuple[str, ...]
    """Blocks that are computed as operands are copied or as the result is stored."""
    thread_rows: int | str
    thread_columns: int | str
    row_tile: int | str
    strides: int | str
    lanes: int | str
    depth: int | str
    left_vector: int | str = 1
    right_vector: int | str = 1
    left_pad: int | str = 0
    right_pad: int | str = 0
    store_vector: int | str = 1

    @property
    def axes(self) -> MatrixAxes:
        inside = bool(self.left_rows_inside), bool(self.right_columns_inside)
        return MatrixAxes(self.batch, self.rows, self.columns, self.reduce, self.left, *inside)

    def apply(self, program: Program) -> None:
        schedule = program.schedule
        tile = TileNumbers(**{name: value_of(getattr(self, name), program.assignment) for name in _NUMBERS})
        rows, columns = tile.thread_rows * tile.row_tile, tile.thread_columns * tile.strides * tile.lanes
        form = matrix_form(schedule, self.block, self.axes, (rows, columns, tile.depth), self.inlined)
        *batch, m, n, k = schedule.get_loops(form.product)
        grid_m, thread_m, own_m = schedule.split(m, [None, tile.thread_rows, tile.row_tile], preserve_unit_iters=True)
        grid_n, strides, thread_n, lanes = schedule.split(
            n, [None, tile.strides, tile.thread_columns, tile.lanes], preserve_unit_iters=True
        )
        steps, depth = schedule.split(k, [None, tile.depth], preserve_unit_iters=True)
        schedule.reorder(*batch, grid_m, grid_n, strides, thread_m, thread_n, steps, depth, own_m, lanes)
        schedule.bind(schedule.fuse(*batch, grid_m, grid_n, preserve_unit_iters=True), "blockIdx.x")
        schedule.bind(strides, "vthread.x")
        schedule.bind(thread_m, "threadIdx.y")
        schedule.bind(thread_n, "threadIdx.x")
        schedule.set_scope(form.product, 0, "local")
        schedule.reverse_compute_at(form.store, thread_n, preserve_unit_loops=True)
        if tile.store_vector > 1:
            vectorize_innermost(schedule, form.store, tile.store_vector)
        threads = (tile.thread_rows, tile.thread_columns)
        for stage, row, vector, pad in (
            (form.left, rows if self.left_rows_inside else tile.depth, tile.left_vector, tile.left_pad),
            (form.right, columns if self.right_columns_inside else tile.depth, tile.right_vector, tile.right_pad),
        ):
            schedule.set_scope(stage, 0, SHARED)
            schedule.compute_at(stage, steps, preserve_unit_loops=True)
            copy_together(schedule, stage, threads, vector)
            pad_rows(schedule, stage, row, pad)
        for loop in (depth, own_m, lanes):
            schedule.unroll(loop)
        schedule.annotate(steps, "pragma_unroll_explicit", 0)  # by the compiler: the source stays short
        schedule.decompose_reduction(form.product, steps)

    def python(self, assignment: Mapping[str, int]) -> str:
        values = ", ".join(f"{name}={value_of(getattr(self, name), assignment)}" for name in _NUMBERS)
        return f"gpu_matrix_tile(sch, {self.block!r}, {self.axes}, inlined={self.inlined}, {values})"


@dataclass(frozen=True, slots=True)
class TileNumbers:
    """The numbers of a tile under an assignment; as in `MatrixTile`."""

    thread_rows: int
    thread_columns: int
    row_tile: int
    strides: int
    lanes: int
    depth: int
    left_vector: int
    right_vector: int
    left_pad: int
    right_pad: int
    store_vector: int


_NUMBERS = tuple(TileNumbers.__dataclass_fields__)


def copy_together(schedule: Schedule, stage: BlockHandle, threads: tuple[int, ...], vector: int) -> None:
    """All threads of the block (the last number is of threadIdx.x) copy the stage's tile, `vector` elements at once."""
    tile = schedule.fuse(*schedule.get_loops(stage)[-2:], preserve_unit_iters=True)
    _, *parts, lanes = schedule.split(tile, [None, *threads, vector], preserve_unit_iters=True)
    for loop, axis in zip(reversed(parts), "xyz", strict=False):
        schedule.bind(loop, f"threadIdx.{axis}")
    if vector > 1:
        schedule.vectorize(lanes)


def pad_rows(schedule: Schedule, stage: BlockHandle, row: int, pad: int) -> None:
    """Make the rows of a stage longer, so that threads of a warp meet different banks."""
    if pad:
        schedule.storage_align(stage, 0, axis=-2, factor=row + pad, offset=0)


def vectorize_innermost(schedule: Schedule, block: BlockHandle, vector: int) -> LoopHandle:
    """Store `vector` neighbouring elements at once."""
    innermost = schedule.get_loops(block)[-1]
    _, lanes = schedule.split(innermost, [None, vector], preserve_unit_iters=True)
    schedule.vectorize(lanes)
    return lanes
