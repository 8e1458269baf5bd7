"""The step that writes an attention as one kernel for a CPU."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from flextune.platforms.cpu.attention.attention_tiles import AttentionTiles
from flextune.platforms.cpu.attention.kernel import attention_kernel
from flextune.schedule.step import Program, Step, value_of


@dataclass(frozen=True, slots=True)
class Attention(Step):
    """Write an attention as one kernel whose tasks keep their scores: see `attention_kernel`."""

    kind: ClassVar[str] = "attention"
    rewrites: ClassVar[bool] = True
    rows: int | str
    """As in `AttentionTiles`, like the others: a number, or the variable that has it."""
    strips: int | str
    """Strips of a task."""
    score_vectors: int | str
    """The width of the register tile of scores, in vectors."""
    value_vectors: int | str
    """The width of the register tile of results, in vectors."""
    key_block: int | str
    """Keys that are taken at once."""
    lanes: int | str
    """Elements of a vector."""
    keys_before: int | str = 0
    """Whether keys are packed before all tasks, instead of by each."""
    pack_values: int | str = 0
    """Whether values are packed by each task."""
    unroll: int | str = 1
    """Steps of a product that are written out in a row."""

    def _tiles(self, assignment: Mapping[str, int]) -> AttentionTiles:
        names = AttentionTiles.__dataclass_fields__
        return AttentionTiles(**{name: value_of(getattr(self, name), assignment) for name in names})

    def apply(self, program: Program) -> None:
        program.function = attention_kernel(program.function, self._tiles(program.assignment))

    def python(self, assignment: Mapping[str, int]) -> str:
        return f"func = attention_kernel(func, {self._tiles(assignment)}); sch = Schedule(func)"
