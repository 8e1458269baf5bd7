"""The step that schedules a contraction for tensor cores."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from flextune.errors import ScheduleError
from flextune.platforms.gpu.contraction_step import SHARED, ContractionStep, copy_together
from flextune.platforms.gpu.matrix_form import matrix_form
from flextune.platforms.gpu.tensor_instruction import TensorInstruction
from flextune.platforms.gpu.tensor_types import TensorType, type_of_operands
from flextune.schedule.step import Program
from flextune.tvm_types import BlockHandle, LoopHandle

WARP = 32


@dataclass(frozen=True, slots=True)
class TensorTile(ContractionStep):
    """Compute a contraction by warps whose tensor cores multiply tiles of the type's shape of that number.

    A block of `warp_rows` x `warp_columns` warps computes `row_tiles` x `column_tiles` such tiles for each of them; it
    copies `depth` steps of both operands into shared memory at a time, as in `MatrixTile`. Sums pass through shared
    memory to where they are stored, with what is computed after them. For no target the loops stay as they are, without
    instructions: the plain form, which any CPU runs.
    """

    kind: ClassVar[str] = "gpu_tensor_tile"
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
    stages: int | str = 1
    """How many steps' operands are in shared memory at once: with several, copies of later ones are under way."""
    swizzle: int | str = 0
    """1: the tiles' pieces of 16 bytes are exchanged (`swizzle.cuh`), for `ldmatrix` alone, in place of padding."""

    def apply(self, program: Program) -> None:
        _TensorSchedule(self, program).apply()


class _TensorSchedule:
    """The schedule of one `TensorTile` under an assignment."""

    def __init__(self, step: TensorTile, program: Program) -> None:
        self.step, self.program, self.schedule = step, program, program.schedule
        self.numbers, axes = step.numbers(program.assignment), step.axes
        operands, kind = self._operands()
        self.instruction = TensorInstruction(
            kind.name, kind.shapes[self.numbers["shape"]], operands,
            axes.left_rows_inside, axes.right_columns_inside, axes.left, bool(self.numbers["swizzle"]),
        )  # fmt: skip

    def _operands(self) -> tuple[tuple[str, str], TensorType]:
        """How the operands are stored, and what that makes of them."""
        block = self.schedule.get(self.schedule.get_sblock(self.step.block))
        first, second = (str(region.source.ty.dtype) for region in block.reads)
        kind = type_of_operands([first, second], str(block.writes[0].source.ty.dtype))
        if kind is None:
            raise ScheduleError(f"tensor cores do not multiply {first} and {second}")
        return (first, second), kind

    def apply(self) -> None:
        schedule, numbers, instruction = self.schedule, self.numbers, self.instruction
        (m, n, _), warps = instruction.shape, (numbers["warp_rows"], numbers["warp_columns"])
        rows, columns = warps[0] * numbers["row_tiles"] * m, warps[1] * numbers["column_tiles"] * n
        form = matrix_form(
            schedule, self.step.block, self.step.axes, (rows, columns, numbers["depth"]), self.step.inlined
        )
        tile, (grid, warp_n, steps, inner) = self._tiled(form.product, warps)
        stored = schedule.cache_write(tile, 0, "wmma.accumulator")
        schedule.reverse_compute_at(stored, warp_n, preserve_unit_loops=True)
        schedule.set_scope(stored, 0, SHARED)
        schedule.reverse_compute_at(form.store, grid, preserve_unit_loops=True)
        copy_together(schedule, form.store, (*warps, WARP), 1)
        fragments = []
        for side, operand, shape in (
            ("a", self.step.left, instruction.left_tile),
            ("b", 1 - self.step.left, instruction.right_tile),
        ):
            fragment = schedule.cache_read(tile, operand, f"wmma.matrix_{side}")
            schedule.compute_at(fragment, inner, preserve_unit_loops=True)
            fragments.append((fragment, shape, f"load_{side}"))
        self.step.copy_operands(schedule, form, steps, (*warps, WARP), (rows, columns), numbers)
        for each in fragments:  # last: a tensorized block is not moved any more
            self._tensorize(*each)
        initial = schedule.decompose_reduction(tile, steps)
        if numbers["stages"] > 1 and self.program.target is not None:
            self._pipeline(steps)
        self._tensorize(stored, (m, n), "store")
        self._named(schedule.get_loops(schedule.get_child_blocks(initial)[0])[-2], "fill")
        self._named(schedule.get_loops(form.product)[-3], "multiply")

    def _tiled(
        self, product: BlockHandle, warps: tuple[int, int]
    ) -> tuple[BlockHandle, tuple[LoopHandle, LoopHandle, LoopHandle, LoopHandle]]:
        """The block of one instruction, and the loops that things are computed at."""
        schedule, numbers, shape = self.schedule, self.numbers, self.instruction.shape
        *batch, m, n, k = schedule.get_loops(product)
        (m, own_m), (n, own_n), (k, own_k) = (
            schedule.split(loop, [None, size], preserve_unit_iters=True)
            for loop, size in zip((m, n, k), shape, strict=True)
        )
        schedule.reorder(*batch, m, n, k, own_m, own_n, own_k)
        tile = schedule.blockize(own_m)
        grid_m, warp_m, tile_m = schedule.split(m, [None, warps[0], numbers["row_tiles"]], preserve_unit_iters=True)
        grid_n, warp_n, tile_n = schedule.split(n, [None, warps[1], numbers["column_tiles"]], preserve_unit_iters=True)
        steps, inner = schedule.split(k, [None, numbers["depth"] // shape[2]], preserve_unit_iters=True)
        schedule.reorder(*batch, grid_m, grid_n, warp_m, warp_n, steps, inner, tile_m, tile_n)
        grid = schedule.fuse(*batch, grid_m, grid_n, preserve_unit_iters=True)
        schedule.bind(grid, "blockIdx.x")
        schedule.bind(warp_m, "threadIdx.z")
        schedule.bind(warp_n, "threadIdx.y")
        return tile, (grid, warp_n, steps, inner)

    def _pipeline(self, steps: LoopHandle) -> None:
        """Both operands of a step are copied, asynchronously, while `stages - 1` steps before it are computed."""
        schedule, copies, computed = self.schedule, [0, 0], self.numbers["stages"] - 1
        schedule.annotate(steps, "software_pipeline_stage", [*copies, computed])
        schedule.annotate(steps, "software_pipeline_order", [0, 1, 2])
        schedule.annotate(steps, "software_pipeline_async_stages", [0])

    def _tensorize(self, block: BlockHandle, tile: tuple[int, int], role: str) -> None:
        schedule = self.schedule
        *_, i, j = schedule.get_loops(block)
        i, own_i = schedule.split(i, [None, tile[0]], preserve_unit_iters=True)
        j, own_j = schedule.split(j, [None, tile[1]], preserve_unit_iters=True)
        schedule.reorder(i, j, own_i, own_j)
        self._named(schedule.blockize(own_i), role)

    def _named(self, place: BlockHandle | LoopHandle, role: str) -> None:
        if self.program.target is not None:
            self.schedule.tensorize(place, self.instruction.define(role, self.program.target))
