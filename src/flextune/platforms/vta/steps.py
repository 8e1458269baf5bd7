"""The order of a schedule's tiles, and the slots of buffers that they take in turn."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field

from flextune.platforms.vta.tiling import PIXELS_OUTER, Tiling


@dataclass(frozen=True, slots=True)
class Step:
    """One multiplication of tiles: numbers of the tiles along each axis."""

    group: int
    image: int
    out: int
    row: int
    column: int
    depth: int
    """Of the input channels; the innermost."""

    @property
    def input_tile(self) -> tuple[int, ...]:
        return self.group, self.image, self.row, self.column, self.depth

    @property
    def weight_tile(self) -> tuple[int, ...]:
        return self.group, self.out, self.depth


def steps_of(tiling: Tiling) -> Iterator[Step]:
    """In the order in which they are computed."""
    pixels = list(itertools.product(range(tiling.rows.count), range(tiling.columns.count)))
    channels = range(tiling.steps_out)
    if tiling.order == PIXELS_OUTER:
        tiles = [(out, row, column) for (row, column), out in itertools.product(pixels, channels)]
    else:
        tiles = [(out, row, column) for out, (row, column) in itertools.product(channels, pixels)]
    for group, image in itertools.product(range(tiling.form.groups), range(tiling.form.images)):
        for (out, row, column), depth in itertools.product(tiles, range(tiling.steps_in)):
            yield Step(group, image, out, row, column, depth)


@dataclass(slots=True)
class Slots:
    """Equal parts of one buffer that take turns: what the present one holds, and who used each turn last."""

    count: int
    entries: int
    """Of each."""
    holds: tuple[int, ...] = ()
    """What the present one holds; nothing at first."""
    users: list[int] = field(default_factory=list)
    """Of each turn, the number of the last instruction that used it."""

    @property
    def base(self) -> int:
        """The first entry of the present one."""
        return (len(self.users) - 1) % self.count * self.entries

    def take(self, what: tuple[int, ...] = ()) -> int:
        """Go on to the next one, for something else. The instruction that must have ended before; -1 for none."""
        self.holds = what
        self.users.append(-1)
        return self.users[-1 - self.count] if len(self.users) > self.count else -1

    def used(self, instruction: int) -> None:
        """Note who uses the present one."""
        self.users[-1] = instruction
