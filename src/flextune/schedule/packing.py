"""Packed operands: how they are laid out, and how a constant one is brought into that form."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from flextune.tvm_types import Expression


@dataclass(frozen=True, slots=True)
class PackedAxes:
    """How an operand is laid out: `outer` iterators first, the tiled `vector` iterator's tile last.

    Packed shape: (extents of outer..., with `vector` replaced by its number of tiles), then the last outer iterator is
    split by `group` when that is above 1; innermost are the tile of `vector` and the group.
    """

    operand: int
    """Which operand of the contraction."""
    outer: tuple[str, ...]
    """Its iterators in the order of the packed axes."""
    vector: str
    """The iterator whose neighbours are the lanes of a vector register; one of `outer`."""
    tile: int
    """Its register tile: so many elements of it are contiguous (with their groups)."""
    group: int = 1
    """Neighbours along the last outer iterator that a dot product takes together."""

    def shape(self, extents: Mapping[str, Expression]) -> list[Expression]:
        """The packed shape, for extents that are whole tiles and groups."""
        shape = [extents[n] // self.tile if n == self.vector else extents[n] for n in self.outer]
        shape[-1] //= self.group
        return [*shape, self.tile, *([self.group] if self.group > 1 else [])]

    def indices(self, variables: Mapping[str, Expression]) -> list[Expression]:
        """Where the element is that has these iterators."""
        indices = [variables[n] // self.tile if n == self.vector else variables[n] for n in self.outer]
        last = indices[-1]
        if self.group > 1:
            indices[-1] = last // self.group
        return [*indices, variables[self.vector] % self.tile, *([last % self.group] if self.group > 1 else [])]


@dataclass(frozen=True, slots=True)
class PackedInput:
    """A constant function parameter that the scheduled program expects in packed form."""

    index: int
    """Its position among the function's parameters."""
    shape: tuple[int, ...]
    """Its packed shape."""
    dtype: str
    """Its element type."""
    permutation: tuple[int, ...]
    """The order of the axes once each is split in two: axis i into 2i, which counts tiles, and 2i + 1 within one."""
    padding: tuple[int, ...]
    """Zeros added at the end of each axis before that, so that it is whole tiles."""
    tiles: tuple[int, ...]
    """The tile of each axis; 1 where it is not tiled."""
    view: tuple[int, ...] = ()
    """The shape that the array is seen in first, () for its own."""

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
