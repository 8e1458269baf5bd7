"""The step that schedules a contraction for tensor cores."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from flextune.platforms.gpu.matrix_form import MatrixAxes, matrix_form
from flextune.platforms.gpu.matrix_tile import SHARED, copy_together, pad_rows
from flextune.platforms.gpu.wmma import SHAPES, Wmma
from flextune.schedule.instructions import define_intrinsic
from flextune.schedule.step import Program, Step, value_of
from flextune.tvm_types import BlockHandle, LoopHandle, Schedule

WARP = 32


@dataclass(frozen=True, slots=True)
class TensorTile(Step):
    """Compute a contraction by warps whose tensor cores multiply tiles of `SHAPES[shape]`.

    A block of `warp_rows` x `warp_columns` warps computes `row_tiles` x `column_tiles` such tiles for each of them; it
    copies `depth` steps of both operands into shared memory at a time, as in `MatrixTile`. Sums pass through shared
    memory to where they are stored, with what is computed after them. For no target the loops stay as they are, without
    instructions: the plain form, which any CPU runs.
    """

    kind: ClassVar[str] = "gpu_tensor_tile"
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
    shape: int | str
    warp_rows: int | str
    warp_columns: int | str
    row_tiles: int | str
    column_tiles: int | str
    depth: int | str
    left_vector: int | str = 1
    right_vector: int | str = 1
    left_pad: int | str = 0
    right_pad: int | str = 0

    @property
    def axes(self) -> MatrixAxes:
        inside = bool(self.left_rows_inside), bool(self.right_columns_inside)
        return MatrixAxes(self.batch, self.rows, self.columns, self.reduce, self.left, *inside)

    def apply(self, program: Program) -> None:
        _TensorSchedule(self, program).apply()

    def python(self, assignment: Mapping[str, int]) -> str:
        values = ", ".join(f"{name}={value_of(getattr(self, name), assignment)}" for name in NUMBERS)
        return f"gpu_tensor_tile(sch, {self.block!r}, {self.axes}, inlined={self.inlined}, {values})"


NUMBERS = (
    "shape", "warp_rows", "warp_columns", "row_tiles", "column_tiles", "depth", "left_vector", "right_vector",
    "left_pad", "right_pad",
)  # fmt: skip


class _TensorSchedule:
    """The schedule of one `TensorTile` under an assignment."""

    def __init__(self, step: TensorTile, program: Program) -> None:
        self.step, self.program, self.schedule = step, program, program.schedule
        self.numbers = {name: value_of(getattr(step, name), program.assignment) for name in NUMBERS}
        inside = bool(step.left_rows_inside), bool(step.right_columns_inside)
        self.wmma = Wmma(*SHAPES[self.numbers["shape"]], *inside, step.left)

    def apply(self) -> None:
        schedule, numbers, wmma = self.schedule, self.numbers, self.wmma
        warps = (numbers["warp_rows"], numbers["warp_columns"])
        rows, columns = warps[0] * numbers["row_tiles"] * wmma.rows, warps[1] * numbers["column_tiles"] * wmma.columns
        depth = numbers["depth"]
        form = matrix_form(schedule, self.step.block, self.step.axes, (rows, columns, depth), self.step.inlined)
        tile, (grid, warp_n, steps, inner) = self._tiled(form.product, warps)
        stored = schedule.cache_write(tile, 0, "wmma.accumulator")
        schedule.reverse_compute_at(stored, warp_n, preserve_unit_loops=True)
        schedule.set_scope(stored, 0, SHARED)
        schedule.reverse_compute_at(form.store, grid, preserve_unit_loops=True)
        copy_together(schedule, form.store, (*warps, WARP), 1)
        fragments = []
        for operand, stage, side in ((self.step.left, form.left, "a"), (1 - self.step.left, form.right, "b")):
            fragment = schedule.cache_read(tile, operand, f"wmma.matrix_{side}")
            schedule.compute_at(fragment, inner, preserve_unit_loops=True)
            schedule.set_scope(stage, 0, SHARED)
            schedule.compute_at(stage, steps, preserve_unit_loops=True)
            name, inside, other = (
                ("left", self.step.left_rows_inside, rows) if side == "a" else
                ("right", self.step.right_columns_inside, columns)
            )  # fmt: skip
            copy_together(schedule, stage, (*warps, WARP), numbers[f"{name}_vector"])
            pad_rows(schedule, stage, other if inside else depth, numbers[f"{name}_pad"])
            fragments.append((fragment, wmma.left_tile if side == "a" else wmma.right_tile, f"load_{side}"))
        for each in fragments:  # last: a tensorized block is not moved any more
            self._tensorize(*each)
        initial = schedule.decompose_reduction(tile, steps)
        self._tensorize(stored, (wmma.rows, wmma.columns), "store")
        self._named(schedule.get_loops(schedule.get_child_blocks(initial)[0])[-2], "fill")
        self._named(schedule.get_loops(form.product)[-3], "multiply")

    def _tiled(
        self, product: BlockHandle, warps: tuple[int, int]
    ) -> tuple[BlockHandle, tuple[LoopHandle, LoopHandle, LoopHandle, LoopHandle]]:
        """The block of one instruction, and the loops that things are computed at."""
        schedule, numbers, wmma = self.schedule, self.numbers, self.wmma
        *batch, m, n, k = schedule.get_loops(product)
        (m, own_m), (n, own_n), (k, own_k) = (
            schedule.split(loop, [None, size], preserve_unit_iters=True)
            for loop, size in ((m, wmma.rows), (n, wmma.columns), (k, wmma.steps))
        )
        schedule.reorder(*batch, m, n, k, own_m, own_n, own_k)
        tile = schedule.blockize(own_m)
        grid_m, warp_m, tile_m = schedule.split(m, [None, warps[0], numbers["row_tiles"]], preserve_unit_iters=True)
        grid_n, warp_n, tile_n = schedule.split(n, [None, warps[1], numbers["column_tiles"]], preserve_unit_iters=True)
        steps, inner = schedule.split(k, [None, numbers["depth"] // wmma.steps], preserve_unit_iters=True)
        schedule.reorder(*batch, grid_m, grid_n, warp_m, warp_n, steps, inner, tile_m, tile_n)
        grid = schedule.fuse(*batch, grid_m, grid_n, preserve_unit_iters=True)
        schedule.bind(grid, "blockIdx.x")
        schedule.bind(warp_m, "threadIdx.z")
        schedule.bind(warp_n, "threadIdx.y")
        return tile, (grid, warp_n, steps, inner)

    def _tensorize(self, block: BlockHandle, tile: tuple[int, int], role: str) -> None:
        schedule: Schedule = self.schedule
        *_, i, j = schedule.get_loops(block)
        i, own_i = schedule.split(i, [None, tile[0]], preserve_unit_iters=True)
        j, own_j = schedule.split(j, [None, tile[1]], preserve_unit_iters=True)
        schedule.reorder(i, j, own_i, own_j)
        self._named(schedule.blockize(own_i), role)

    def _named(self, place: BlockHandle | LoopHandle, role: str) -> None:
        if self.program.target is None:
            return
        name = self.wmma.name(role)
        define_intrinsic(name, self.program.target)
        self.schedule.tensorize(place, name)
