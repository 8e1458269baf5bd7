"""The weights of a call: where they lie, and what they hold now.

What a build holds are copies. PyTorch changes weights without telling (`weight.data.mul_(2)`, fused optimisers, NumPy
views), and calls one captured graph with the weights of several modules, so what counts is what lies in memory.
"""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from typing import Any

from flextune.native.digest import MemoryDigest

Place = tuple[object, ...]
"""Addresses, sizes, strides and types of the weights: equal for the same tensors, unless one was given other memory."""


def place_of(weights: Sequence[Any]) -> Place:
    """Where the weights lie, as cheaply as Python can say it."""
    return (
        tuple([weight.data_ptr() for weight in weights]),
        tuple([weight.size() for weight in weights]),
        tuple([weight.stride() for weight in weights]),
        tuple([weight.dtype for weight in weights]),
    )


class WeightsAtPlace:
    """Weights that lie at a place, for as long as they do.

    `awaited` are contents that were seen there once and are built when they are seen again.
    """

    def __init__(self, weights: Sequence[Any], place: Place, is_frozen: bool) -> None:
        self.awaited: bytes | None = None
        self._layout = repr(place[1:]).encode()
        self._tensors = tuple(weakref.ref(weight) for weight in weights)
        self._digest = MemoryDigest([_region(weight) for weight in weights])
        self._frozen = self.contents() if is_frozen else None

    def contents_now(self, weights: Sequence[Any]) -> bytes:
        """What the weights, which lie at this place, hold; equal for equal contents."""
        if self._frozen is None:
            return self.contents()
        if any(tensor() is not weight for tensor, weight in zip(self._tensors, weights, strict=True)):
            self._tensors = tuple(weakref.ref(weight) for weight in weights)
            self._frozen = self.contents()
        return self._frozen

    def contents(self) -> bytes:
        return self._layout + self._digest()

    @property
    def is_alive(self) -> bool:
        """Whether the tensors are still there; otherwise others may lie at this place."""
        return all(tensor() is not None for tensor in self._tensors)


def _region(weight: Any) -> tuple[int, int]:
    """Address and bytes of the memory that a tensor reads, and what lies between."""
    if weight.numel() == 0:
        return weight.data_ptr(), 0
    last = sum((size - 1) * stride for size, stride in zip(weight.size(), weight.stride(), strict=True))
    return weight.data_ptr(), (last + 1) * weight.element_size()
