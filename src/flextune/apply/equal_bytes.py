"""Finding memory that holds the same bytes, without reading most of what differs."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass, field

import numpy as np

SAMPLED_BYTES = 256
"""So many bytes, spread evenly, tell nearly all different weights apart."""


@dataclass(slots=True, eq=False)
class EqualBytes:
    """A number for each content that was seen, the first one that was given for it.

    >>> seen = EqualBytes()
    >>> [seen.setdefault(np.frombuffer(content, np.uint8), number) for number, content in enumerate((b"a", b"b", b"a"))]
    [0, 1, 0]
    """

    _known: dict[tuple[int, bytes], list[tuple[np.ndarray, int]]] = field(default_factory=dict)

    def setdefault(self, content: np.ndarray, number: int) -> int:
        """The number of the equal content that was seen first, which is `number` where this is the first."""
        step = max(1, content.size // SAMPLED_BYTES)
        alike = self._known.setdefault((content.size, content[::step].tobytes()), [])
        for known, first in alike:
            if np.array_equal(known, content):
                return first
        alike.append((content, number))
        return number


def bytes_at(address: int, nbytes: int) -> np.ndarray:
    """The memory there as bytes, without a copy: whoever holds it has to keep it."""
    if nbytes == 0:
        return np.zeros(0, np.uint8)
    return np.ctypeslib.as_array((ctypes.c_uint8 * nbytes).from_address(address))
