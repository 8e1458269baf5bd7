"""The step that schedules a contraction for threads that multiply by themselves (SIMT)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from flextune.platforms.gpu.contraction_step import ContractionStep
from flextune.platforms.gpu.matrix_form import matrix_form
from flextune.schedule.step import Program


@dataclass(frozen=True, slots=True)
class MatrixTile(ContractionStep):
    """Compute a contraction by blocks of threads, each with its part of the tile in registers.

    A block of `thread_rows` x `thread_columns` threads computes `row_tile` rows and `strides` times `lanes` columns for
    each of them; it copies `depth` steps of both operands into shared memory at a time, `left_vector` and
    `right_vector` elements per copy, in rows that are `left_pad` and `right_pad` elements longer than needed.
    """

    kind: ClassVar[str] = "gpu_matrix_tile"
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

    def apply(self, program: Program) -> None:
        schedule, numbers = program.schedule, self.numbers(program.assignment)
        thread_rows, thread_columns = numbers["thread_rows"], numbers["thread_columns"]
        row_tile, strides, lanes, depth = (numbers[name] for name in ("row_tile", "strides", "lanes", "depth"))
        rows, columns = thread_rows * row_tile, thread_columns * strides * lanes
        form = matrix_form(schedule, self.block, self.axes, (rows, columns, depth), self.inlined)
        *batch, m, n, k = schedule.get_loops(form.product)
        grid_m, thread_m, own_m = schedule.split(m, [None, thread_rows, row_tile], preserve_unit_iters=True)
        grid_n, stride, thread_n, lane = schedule.split(
            n, [None, strides, thread_columns, lanes], preserve_unit_iters=True
        )
        steps, step = schedule.split(k, [None, depth], preserve_unit_iters=True)
        schedule.reorder(*batch, grid_m, grid_n, stride, thread_m, thread_n, steps, step, own_m, lane)
        schedule.bind(schedule.fuse(*batch, grid_m, grid_n, preserve_unit_iters=True), "blockIdx.x")
        schedule.bind(stride, "vthread.x")
        schedule.bind(thread_m, "threadIdx.y")
        schedule.bind(thread_n, "threadIdx.x")
        schedule.set_scope(form.product, 0, "local")
        schedule.reverse_compute_at(form.store, thread_n, preserve_unit_loops=True)
        self.copy_operands(schedule, form, steps, (thread_rows, thread_columns), (rows, columns), numbers)
        for loop in (step, own_m, lane):
            schedule.unroll(loop)
        schedule.annotate(steps, "pragma_unroll_explicit", 0)  # by the compiler: the source stays short
        schedule.decompose_reduction(form.product, steps)
