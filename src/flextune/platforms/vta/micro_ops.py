"""Micro-ops of matrix products, the loops around them, and where they lie."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from flextune.errors import BuildError
from flextune.platforms.vta.instruction import Factors
from flextune.platforms.vta.tiling import LOOP_AXES, SPATIAL, Tiling

_FIELD_BITS = (11, 11, 10)
"""Of the indices of accumulator, input and weight in a micro-op, from the lowest bit."""

_LISTED = (*(axis for axis in LOOP_AXES if axis not in SPATIAL), *SPATIAL)
"""The order of micro-ops: those that follow each other add to different accumulators."""

Strides = tuple[int, int, int]
"""What the indices of accumulator, input and weight grow by."""


def strides_of(tiling: Tiling) -> Mapping[str, Strides]:
    """For one step along each of the axes inside of a tile."""
    width, taps = tiling.columns.needed, tiling.form.taps
    rows, columns = tiling.rows.axis, tiling.columns.axis
    return {
        "out": (tiling.pixels, 0, tiling.blocks_in * taps),
        "rows": (tiling.columns.tile, rows.stride * width, 0),
        "columns": (1, columns.stride, 0),
        "in": (0, tiling.rows.needed * width, taps),
        "row_taps": (0, rows.dilation * width, columns.taps),
        "column_taps": (0, columns.dilation, 1),
    }


def gemm_factors(tiling: Tiling) -> tuple[tuple[int, int], tuple[Factors, Factors, Factors]]:
    """The turns of an instruction's two loops, and what the indices grow by with each."""
    strides, extents = strides_of(tiling), tiling.extents
    turns = (extents[tiling.loops[0]], extents[tiling.loops[1]])
    # A loop of one turn adds nothing, and what it would add may not fit its field.
    outer, inner = (strides[axis] if count > 1 else (0, 0, 0) for axis, count in zip(tiling.loops, turns, strict=True))
    return turns, ((outer[0], inner[0]), (outer[1], inner[1]), (outer[2], inner[2]))


def gemm_micro_ops(tiling: Tiling, dst: int, src: int, weight: int) -> npt.NDArray[np.int64]:
    """All that the two loops leave, with tiles that begin at these entries.

    Raises `BuildError` where an index does not fit.
    """
    axes = [axis for axis in _LISTED if axis not in tiling.loops]
    strides, extents = strides_of(tiling), tiling.extents
    counters = np.indices([extents[axis] for axis in axes]).reshape(len(axes), -1)
    word = np.zeros(counters.shape[1], dtype=np.int64)
    position = 0
    for number, (base, bits) in enumerate(zip((dst, src, weight), _FIELD_BITS, strict=True)):
        index = base + np.array([strides[axis][number] for axis in axes]) @ counters
        if index.max() >= 1 << bits:
            raise BuildError(f"a micro-op has {bits} bits for an index; {index.max()} does not fit")
        word |= index << position
        position += bits
    return word


@dataclass(frozen=True, slots=True)
class Place:
    """Of a sequence of micro-ops: entries of buffer and memory, and whether it is still to be loaded."""

    begin: int
    end: int
    dram: int
    is_new: bool


Key = tuple[int, ...]
"""What tells sequences apart."""


@dataclass(slots=True)
class MicroOps:
    """The sequences of a program. When the buffer is full it is begun anew; what is needed again is loaded again."""

    capacity: int
    _written: list[int] = field(default_factory=list)
    """All of them, as they lie in memory."""
    _known: dict[Key, tuple[int, int]] = field(default_factory=dict)
    """Where a sequence begins in memory, and how long it is."""
    _present: dict[Key, int] = field(default_factory=dict)
    """Where it begins in the buffer."""
    _top: int = 0

    def place(self, key: Key, make: Callable[[], Sequence[int]]) -> Place:
        """The place of the sequence that `make` gives; raises `BuildError` for one that is longer than the buffer."""
        if key not in self._known:
            sequence = make()
            self._known[key] = (len(self._written), len(sequence))
            self._written += sequence
        dram, length = self._known[key]
        if is_new := key not in self._present:
            self._present[key] = self._room(length)
        begin = self._present[key]
        return Place(begin, begin + length, dram, is_new)

    def written(self) -> npt.NDArray[np.uint32]:
        """All of them, as they lie in memory."""
        return np.array(self._written, dtype=np.uint32)

    def _room(self, length: int) -> int:
        if length > self.capacity:
            raise BuildError(f"{length} micro-ops do not fit the buffer, which holds {self.capacity}")
        if self._top + length > self.capacity:
            self._present.clear()
            self._top = 0
        self._top += length
        return self._top - length
