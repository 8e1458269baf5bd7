"""`Layout`: the order of the axes of an image tensor in memory.

Programs are written in the logical order NHWC (the importer's graph is brought there first); a layout says which tensor
is in memory instead. Blocks of channels hold a vector each: NCHW16c is [N, C/16, H, W, 16].
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np

from flextune.errors import UsageError

_CHANNELS = 3
_LOGICAL = "NHWC"
_TEXT = re.compile(r"([NCHW]{4})(?:(\d+)c)?")


@dataclass(frozen=True, slots=True, order=True)
class Layout:
    """`order` has the letters of NHWC, outermost axis first; `block` neighbouring channels are innermost (0: none).

    >>> Layout.parse("NCHW16c").shape((1, 8, 8, 32))
    (1, 2, 8, 8, 16)
    """

    order: str = _LOGICAL
    block: int = 0

    def __post_init__(self) -> None:
        if sorted(self.order) != sorted(_LOGICAL) or self.block < 0 or self.block == 1:
            raise UsageError(f"expected a layout such as NHWC, NCHW or NCHW16c, got {self.order}{self.block or ''}")

    @classmethod
    def parse(cls, text: str) -> Layout:
        """From `str`'s text; UsageError for any other."""
        match = _TEXT.fullmatch(text)
        if match is None:
            raise UsageError(f"expected a layout such as NHWC, NCHW or NCHW16c, got {text!r}")
        return cls(match.group(1), int(match.group(2) or 0))

    @classmethod
    def of_image(cls, text: str) -> Layout | None:
        """From an operator's attribute; None where that is no layout of an image, but of a row or a volume."""
        return cls.parse(text) if _TEXT.fullmatch(text) else None

    def __str__(self) -> str:
        return f"{self.order}{self.block}c" if self.block else self.order

    def fits(self, shape: tuple[int, ...]) -> bool:
        """Whether a tensor of this logical shape can be laid out so: whole blocks only."""
        return len(shape) == len(_LOGICAL) and shape[_CHANNELS] % (self.block or 1) == 0

    def shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """The shape in memory of a logical shape. A single channel stays one, for tensors that are broadcast."""
        sizes = dict(zip(_LOGICAL, shape, strict=True))
        inner = self._inner(shape)
        sizes["C"] //= inner
        return (*(sizes[letter] for letter in self.order), *((inner,) if self.block else ()))

    def axis(self, logical: int) -> int:
        """Where a logical axis is in memory; of the channels, the axis of their blocks."""
        return self.order.index(_LOGICAL[logical])

    @property
    def permutation(self) -> tuple[int, ...]:
        """The axes, in memory's order, of the logical tensor with its channels split into [C / block, block]."""
        plain = tuple(_LOGICAL.index(letter) for letter in self.order)
        return (*plain, len(_LOGICAL)) if self.block else plain

    def split(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """A logical shape with the channels split as `permutation` expects."""
        inner = self._inner(shape)
        return (*shape[:_CHANNELS], shape[_CHANNELS] // inner, inner) if self.block else shape

    def convert(self, array: np.ndarray) -> np.ndarray:
        """A logical array of four axes as it is in memory."""
        return np.ascontiguousarray(array.reshape(self.split(array.shape)).transpose(self.permutation))

    def same_memory(self, other: Layout, shape: tuple[int, ...]) -> bool:
        """Whether both put every element of a tensor of this shape in the same place."""
        return self._long_axes(shape) == other._long_axes(shape)

    def _long_axes(self, shape: tuple[int, ...]) -> list[tuple[str, int]]:
        """The axes longer than 1, outermost first, with their step in the logical tensor; neighbours are one axis."""
        sizes, inner = dict(zip(_LOGICAL, shape, strict=True)), self._inner(shape)
        parts = [(letter, sizes[letter] // (inner if letter == "C" else 1)) for letter in self.order]
        parts += [("c", inner)] if self.block else []
        merged: list[tuple[str, int]] = []
        for letter, size in parts:
            if size == 1:
                continue
            if letter == "c" and merged and merged[-1][0] == "C":
                merged[-1] = ("C", merged[-1][1] * size)
            else:
                merged.append(("C" if letter == "c" and sizes["C"] == size else letter, size))
        return merged

    def _inner(self, shape: tuple[int, ...]) -> int:
        """How many channels are innermost."""
        return self.block if self.block and shape[_CHANNELS] % self.block == 0 else 1


NHWC = Layout("NHWC")
NCHW = Layout("NCHW")


def blocked(lanes: int) -> Layout:
    """Channels in blocks of a vector: NCHW16c for sixteen lanes."""
    return Layout("NCHW", lanes)
