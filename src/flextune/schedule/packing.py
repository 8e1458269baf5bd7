"""Packed operands: how they are laid out, and how a constant one is brought into that form."""

from __future__ import annotations

from dataclasses import dataclass

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
    """A constant function parameter that the scheduled program expects in packed form."""

    index: int
    shape: tuple[int, ...]
    dtype: str
    permutation: tuple[int, ...]
    padding: tuple[int, ...]
    tiles: tuple[int, ...]

    def pack(self, array: npt.NDArray[np.generic]) -> npt.NDArray[np.generic]:
        """Pad, split and permute `array` (the parameter's original shape) into the packed shape."""
        padded = np.pad(array, [(0, extra) for extra in self.padding])
        split: list[int] = []
        for extent, tile in zip(padded.shape, self.tiles, strict=True):
            split += [extent // tile, tile]
        return np.ascontiguousarray(padded.reshape(split).transpose(self.permutation).reshape(self.shape))
