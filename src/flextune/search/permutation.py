"""A pseudo-random order of more numbers than fit in memory."""

from __future__ import annotations

import hashlib

_ROUNDS = 6


class Permutation:
    """A permutation of range(count) that depends on a key, computed one element at a time.

    A Feistel network over the next even number of bits; what falls outside of the range is sent through it again, which
    leaves a permutation of the range (cycle walking; Black and Rogaway, CT-RSA 2002).

    >>> sorted(Permutation(5, b"key")(position) for position in range(5))
    [0, 1, 2, 3, 4]
    """

    def __init__(self, count: int, key: bytes) -> None:
        self._count = count
        self._half = max(1, ((count - 1).bit_length() + 1) // 2)
        self._mask = (1 << self._half) - 1
        self._bytes = (self._half + 7) // 8
        self._keys = tuple(hashlib.blake2b(key + bytes([number])).digest() for number in range(_ROUNDS))

    def __call__(self, position: int) -> int:
        """The element at a position (0 <= position < count)."""
        found = self._enciphered(position)
        while found >= self._count:
            found = self._enciphered(found)
        return found

    def _enciphered(self, number: int) -> int:
        left, right = number >> self._half, number & self._mask
        for key in self._keys:
            left, right = right, left ^ self._mixed(key, right)
        return left << self._half | right

    def _mixed(self, key: bytes, number: int) -> int:
        digest = hashlib.shake_128(key + number.to_bytes(self._bytes, "little")).digest(self._bytes)
        return int.from_bytes(digest, "little") & self._mask
