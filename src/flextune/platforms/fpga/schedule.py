"""Commands for an overlay: which pieces of operands are loaded into which slots, and what is multiplied when."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from flextune.platforms.base import Array
from flextune.platforms.fpga.overlay import Overlay

FIRST, LAST, FREE_A, FREE_B = 1, 2, 4, 8
"""Flags of a step, as the harness reads them."""

ROWS_OUTER = 0
"""Value of `order`: the columns of tiles change within a row of them, else the other way round."""

Piece = tuple[int, int]
"""Of an operand: the number of its panel, and of the piece along K."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """A product of `batches` of [m, k] by [k, n] on an overlay, in pieces of `tile_k` along K."""

    overlay: Overlay
    batches: int
    m: int
    n: int
    k: int
    tile_k: int
    order: int

    @property
    def panels(self) -> tuple[int, int]:
        """Of both operands, as many rows of elements, or columns, at a time."""
        return -(-self.m // self.overlay.rows), -(-self.n // self.overlay.columns)

    @property
    def pieces(self) -> int:
        return -(-self.k // self.tile_k)

    @property
    def holds(self) -> bool:
        """Whether all pieces of a panel of the outer operand stay, beside those of the next one."""
        return 2 * self.pieces <= self.overlay.slots

    @property
    def tiles(self) -> list[tuple[int, int]]:
        """Of the result, in order."""
        rows, columns = map(range, self.panels)
        if self.order == ROWS_OUTER:
            return list(itertools.product(rows, columns))
        return [(row, column) for column, row in itertools.product(columns, rows)]


@dataclass(slots=True)
class Ring:
    """The slots of one operand, which are filled in turn."""

    slots: int
    filled: int = 0
    present: dict[Piece, int] = field(default_factory=dict)

    def fill(self, piece: Piece) -> int:
        slot = self.filled % self.slots
        self.filled += 1
        self.present[piece] = slot
        return slot


@dataclass(frozen=True, slots=True)
class Commands:
    """What the harness gets: loads {is_b, slot, lines, 0}, steps {slot_a, slot_b, words, flags}, and what is loaded."""

    loads: npt.NDArray[np.uint32]
    steps: npt.NDArray[np.uint32]
    pieces: tuple[tuple[bool, int, int], ...]
    """Of each load: whether of B, its panel, and the piece along K."""


def commands_of(schedule: Schedule) -> Commands:
    """Of one batch; others are the same with other operands."""
    overlay, order = schedule.overlay, schedule.order
    rings = (Ring(overlay.slots), Ring(overlay.slots))
    loads: list[tuple[int, int, int, int]] = []
    steps: list[tuple[int, int, int, int]] = []
    loaded: list[tuple[bool, int, int]] = []
    outer = 0 if order == ROWS_OUTER else 1
    last_inner = schedule.panels[1 - outer] - 1
    for tile in schedule.tiles:
        for piece in range(schedule.pieces):
            flags = (FIRST if piece == 0 else 0) | (LAST if piece == schedule.pieces - 1 else 0)
            slots = []
            for operand, word in enumerate((overlay.rows, overlay.columns)):
                key, ring = (tile[operand], piece), rings[operand]
                if key not in ring.present:
                    loads.append((operand, ring.fill(key), schedule.tile_k * word // overlay.bus, 0))
                    loaded.append((operand == 1, *key))
                slots.append(ring.present[key])
                if operand != outer or not schedule.holds or tile[1 - outer] == last_inner:
                    flags |= FREE_B if operand else FREE_A
                    del ring.present[key]
            steps.append((slots[0], slots[1], schedule.tile_k, flags))
    return Commands(_words(loads), _words(steps), tuple(loaded))


def _words(commands: Sequence[tuple[int, int, int, int]]) -> npt.NDArray[np.uint32]:
    return np.array(commands, dtype=np.uint32).reshape(-1, 4)


def lines_of(schedule: Schedule, commands: Commands, left: Array, right: Array) -> bytes:
    """What crosses the bus: the pieces of [m, k] and [k, n] in the order of loads."""
    overlay = schedule.overlay
    panels = (_panels(schedule, left, overlay.rows), _panels(schedule, right.T, overlay.columns))
    return b"".join(panels[is_b][panel, piece].tobytes() for is_b, panel, piece in commands.pieces)


def _panels(schedule: Schedule, rows: Array, width: int) -> Array:
    """[m, k] as [panels, pieces, words, width], filled up with zeros."""
    count, pieces, length = -(-len(rows) // width), schedule.pieces, schedule.tile_k
    padded = np.zeros((count * width, pieces * length), dtype=np.int8)
    padded[: len(rows), : rows.shape[1]] = rows
    return np.ascontiguousarray(padded.reshape(count, width, pieces, length).transpose(0, 2, 3, 1))


def result_of(schedule: Schedule, sums: Array) -> Array:
    """The tiles, in their order, as [m, n]."""
    overlay, (rows, columns) = schedule.overlay, schedule.panels
    order = (rows, columns) if schedule.order == ROWS_OUTER else (columns, rows)
    tiles = sums.reshape(*order, overlay.rows, overlay.columns)
    placed = tiles if schedule.order == ROWS_OUTER else tiles.swapaxes(0, 1)
    whole = placed.swapaxes(1, 2).reshape(rows * overlay.rows, columns * overlay.columns)
    return np.asarray(whole[: schedule.m, : schedule.n])
