"""What steps for contractions share: which contraction it is, and its operands in shared memory."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields

from flextune.platforms.gpu.matrix_form import MatrixAxes, MatrixForm
from flextune.schedule.step import Step, value_of
from flextune.tvm_types import BlockHandle, LoopHandle, Schedule

SHARED = "shared.dyn"
"""Dynamic: a block may have more of it than of static shared memory."""


@dataclass(frozen=True, slots=True)
class ContractionStep(Step):
    """A step that schedules a contraction as a product of matrices; each kind adds the numbers of its tiles."""

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

    @property
    def axes(self) -> MatrixAxes:
        inside = bool(self.left_rows_inside), bool(self.right_columns_inside)
        return MatrixAxes(self.batch, self.rows, self.columns, self.reduce, self.left, *inside)

    def numbers(self, assignment: Mapping[str, int]) -> dict[str, int]:
        """What the kind adds, under an assignment."""
        own = fields(self)[len(fields(ContractionStep)) :]
        return {each.name: value_of(getattr(self, each.name), assignment) for each in own}

    def python(self, assignment: Mapping[str, int]) -> str:
        values = ", ".join(f"{name}={value}" for name, value in self.numbers(assignment).items())
        return f"{self.kind}(sch, {self.block!r}, {self.axes}, inlined={self.inlined}, {values})"

    def copy_operands(
        self,
        schedule: Schedule,
        form: MatrixForm,
        steps: LoopHandle,
        threads: tuple[int, ...],
        tile: tuple[int, int],
        numbers: Mapping[str, int],
    ) -> None:
        """Let a block of threads (the last number is of threadIdx.x) copy its operands at the loop of steps.

        The tile has these rows and columns; `numbers` has `depth` and, of each side, `vector` and `pad`.
        """
        for side, stage, other, inside in (
            ("left", form.left, tile[0], self.left_rows_inside),
            ("right", form.right, tile[1], self.right_columns_inside),
        ):
            schedule.set_scope(stage, 0, SHARED)
            schedule.compute_at(stage, steps, preserve_unit_loops=True)
            copy_together(schedule, stage, threads, numbers[f"{side}_vector"])
            pad_rows(schedule, stage, other if inside else numbers["depth"], numbers[f"{side}_pad"])


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
