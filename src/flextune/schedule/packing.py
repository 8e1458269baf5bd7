"""Packed operands: how they are laid out, and how a constant one is brought into that form."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True, slots=True)
class PackedAxes:
    """How an operand is laid out: `outer` iterators first, the tiled `vector` iterator's tile last.

    Packed shape: (extents of outer..., with `vector` replaced by its number of tiles), then the last outer iterator is
    split by `group` when that is above 1; innermost are the tile of `vector` and the group.
    """

    operand: int
    outer: tuple[str, ...]
    vector: str
    tile: int
    group: int = 1


@dataclass(frozen=True, slots=True)
class PackedInput:
    """A constant function parameter that the scheduled program expects in packed form.

    `view` is the shape that the array is seen in first, () for its own.
    """

    index: int
    shape: tuple[int, ...]
    dtype: str
    permutation: tuple[int, ...]
    padding: tuple[int, ...]
    tiles: tuple[int, ...]
    view: tuple[int, ...] = ()

    @classmethod
    def viewed(cls, index: int, shape: tuple[int, ...], dtype: str) -> PackedInput:
        """Nothing but another shape of the same elements in the same order."""
        rank = len(shape)
        return cls(index, shape, dtype, tuple(range(2 * rank)), (0,) * rank, (1,) * rank, shape)

    def after(self, view: PackedInput) -> PackedInput:
        """Both in one: first `view`, which must be one made by `viewed`."""
        return replace(self, view=view.view)

    def pack(self, array: npt.NDArray[np.generic]) -> npt.NDArray[np.generic]:
        """Pad, split and permute `array` (the parameter's original shape) into the packed shape."""
        seen = array.reshape(self.view) if self.view else array
        padded = np.pad(seen, [(0, extra) for extra in self.padding])
        split: list[int] = []
        for extent, tile in zip(padded.shape, self.tiles, strict=True):
            split += [extent // tile, tile]
        return np.ascontiguousarray(padded.reshape(split).transpose(self.permutation).reshape(self.shape))
