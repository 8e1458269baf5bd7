"""Digests of memory: whether what lies somewhere is still the same, at the speed of memory."""

from __future__ import annotations

import ctypes
import hashlib
import os
from collections.abc import Callable, Sequence
from functools import lru_cache

from flextune.errors import BuildError, EnvironmentFault
from flextune.native.toolchain import digest_library

BLOCK_BYTES = 16384
"""Each gets a digest of 8 bytes."""

Regions = Sequence[tuple[int, int]]
"""Address and bytes of each."""


class MemoryDigest:
    """The digests of some regions, again and again: `MemoryDigest(regions)()`.

    A block of 16 KiB that has changed keeps its digest with a probability of at most 2^-32, over keys that are drawn
    once per process. The memory must be there at each call.
    """

    def __init__(self, regions: Regions) -> None:
        self._digest = _native()
        self._regions = tuple(regions)
        self._count = len(regions)
        self._addresses = (ctypes.c_void_p * max(1, self._count))(*(address for address, _ in regions))
        self._bytes = (ctypes.c_size_t * max(1, self._count))(*(nbytes for _, nbytes in regions))
        self._digests = (ctypes.c_uint64 * sum(-(-nbytes // BLOCK_BYTES) for _, nbytes in regions))()

    def __call__(self) -> bytes:
        if self._digest is None:
            return _by_hashlib(self._regions)
        self._digest(self._count, self._addresses, self._bytes, _keys(), self._digests)
        return bytes(self._digests)


@lru_cache(maxsize=1)
def _keys() -> bytes:
    return os.urandom(BLOCK_BYTES)


@lru_cache(maxsize=1)
def _native() -> Callable[..., None] | None:
    """The function in C; None where there is no compiler."""
    try:
        library = ctypes.CDLL(str(digest_library()))
    except (BuildError, EnvironmentFault, OSError):
        return None
    function = library.ft_digest
    function.argtypes = [ctypes.c_size_t, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p]
    function.restype = None
    return function


def _by_hashlib(regions: Regions) -> bytes:
    digest = hashlib.blake2b(_keys()[:64])
    for address, nbytes in regions:
        if nbytes:
            digest.update((ctypes.c_ubyte * nbytes).from_address(address))
    return digest.digest()
