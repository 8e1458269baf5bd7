"""Boxes of entries between memory and a buffer, as the fewest instructions."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from flextune.errors import BuildError
from flextune.platforms.vta.hardware import MAX_STRIDE
from flextune.platforms.vta.instruction import Memory, Opcode, Transfer


@dataclass(frozen=True, slots=True)
class Box:
    """`planes` of `rows` of `columns` entries, in memory `plane` and `row` entries apart, in a buffer without gaps."""

    sram: int
    """The first entry in the buffer."""
    dram: int
    """The first entry in memory."""
    planes: int
    rows: int
    columns: int
    plane: int = 0
    row: int = 0
    above: int = 0
    """Rows of zeros before those of each plane."""
    below: int = 0
    left: int = 0
    """Columns of zeros before those of each row."""
    right: int = 0

    @property
    def plane_entries(self) -> int:
        """In the buffer."""
        return (self.above + self.rows + self.below) * (self.left + self.columns + self.right)

    @property
    def is_flat(self) -> bool:
        """Whether each plane is one row."""
        return self.rows == 1 and not self.above + self.below

    def flattened(self) -> Box:
        """The same with one row in each plane where its rows lie without gaps in memory, too."""
        if self.row != self.columns or any((self.above, self.below, self.left, self.right)):
            return self
        return Box(self.sram, self.dram, self.planes, 1, self.rows * self.columns, self.plane)


def transfers(opcode: Opcode, memory: Memory, box: Box) -> Iterator[Transfer]:
    """An instruction has rows of columns: one for all planes where each is a row, otherwise one for each plane."""
    box = box.flattened()
    if box.is_flat and (box.planes == 1 or box.plane <= MAX_STRIDE):
        stride = box.plane if box.planes > 1 else box.columns
        sides = {"left": box.left, "right": box.right}
        yield Transfer(opcode, memory, box.sram, box.dram, box.planes, box.columns, min(stride, MAX_STRIDE), **sides)
        return
    if box.rows > 1 and box.row > MAX_STRIDE:
        raise BuildError(f"rows are {box.row} entries apart in memory; a VTA instruction can say {MAX_STRIDE}")
    for plane in range(box.planes):
        yield Transfer(
            opcode,
            memory,
            box.sram + plane * box.plane_entries,
            box.dram + plane * box.plane,
            box.rows,
            box.columns,
            box.row if box.rows > 1 else box.columns,
            box.above,
            box.below,
            box.left,
            box.right,
        )
