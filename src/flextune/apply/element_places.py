"""Where the elements of a tensor are in a buffer: an offset and a stride for each axis, both in elements."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod


@dataclass(frozen=True, slots=True)
class Layout:
    """The element at index i is `offset + sum(i * strides)` elements from the buffer's start.

    An axis with one element has the stride that a dense tensor would have there, so that equal layouts are equal.
    """

    shape: tuple[int, ...]
    offset: int
    strides: tuple[int, ...]

    @classmethod
    def dense(cls, shape: Sequence[int], offset: int = 0) -> Layout:
        """Row after row without gaps.

        >>> Layout.dense((2, 3, 4)).strides
        (12, 4, 1)
        """
        return cls.of(shape, offset, [0] * len(shape), compact=True)

    @classmethod
    def of(cls, shape: Sequence[int], offset: int, strides: Sequence[int], compact: bool = False) -> Layout:
        """A layout with these strides, those of axes with one element as they are where nothing has gaps."""
        found: list[int] = []
        following = 1
        for extent, stride in zip(reversed(shape), reversed(strides), strict=True):
            found.append(following if compact or extent == 1 else stride)
            following = found[-1] * extent
        return cls(tuple(shape), offset, tuple(reversed(found)))

    @property
    def is_dense(self) -> bool:
        """Whether there are no gaps between the elements."""
        return 0 in self.shape or self.strides == Layout.dense(self.shape).strides

    @property
    def run(self) -> int:
        """Elements that follow each other without a gap."""
        runs = _runs(self.shape, self.strides)
        return runs[-1][0] if runs and runs[-1][1] == 1 else 1

    def part(self, begins: Sequence[int], axes: Sequence[int | None], shape: Sequence[int]) -> Layout:
        """The layout of the block at `begins` that runs along `axes`; an axis that is None has one element."""
        offset = self.offset + sum(begin * stride for begin, stride in zip(begins, self.strides, strict=True))
        return Layout.of(shape, offset, [0 if axis is None else self.strides[axis] for axis in axes])

    def reshaped(self, shape: Sequence[int]) -> Layout | None:
        """The same elements, in the same order, under another shape; None where that takes more than strides.

        >>> Layout((2, 3, 4), 0, (30, 10, 1)).reshaped((6, 4))
        Layout(shape=(6, 4), offset=0, strides=(10, 1))
        >>> Layout((2, 3, 4), 0, (30, 10, 1)).reshaped((2, 12)) is None
        True
        """
        if prod(shape) == 0:
            return Layout.dense(shape, self.offset)
        runs = _runs(self.shape, self.strides)
        strides = [0] * len(shape)
        axis = len(shape)
        for length, stride in reversed(runs):
            while length > 1:
                axis -= 1
                if length % shape[axis] != 0:
                    return None
                strides[axis] = stride
                stride, length = stride * shape[axis], length // shape[axis]
        return Layout.of(shape, self.offset, strides)


def _runs(shape: Sequence[int], strides: Sequence[int]) -> list[tuple[int, int]]:
    """(elements, stride) of the axes, those joined over which one stride goes on; axes with one element left out."""
    runs: list[tuple[int, int]] = []
    for extent, stride in zip(shape, strides, strict=True):
        if extent == 1:
            continue
        if runs and runs[-1][1] == extent * stride:
            runs[-1] = (runs[-1][0] * extent, stride)
        else:
            runs.append((extent, stride))
    return runs
