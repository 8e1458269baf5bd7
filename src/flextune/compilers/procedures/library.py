"""The functions of native/procedures.c, on NumPy arrays. Who calls them has checked sizes and element types."""

from __future__ import annotations

import ctypes
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from flextune.aligned import address, aligned_empty

_WHOLE = ("uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64")
_REAL = ("float16", "bfloat16", "float32", "float64")
KINDS: Mapping[str, int] = {"bool": 0} | {name: number for number, name in enumerate((*_WHOLE, *_REAL))}
"""Element types by their numbers in C."""

_SIZE = ctypes.c_int64
_NUMBER = ctypes.c_int32
_PLACE = ctypes.c_void_p

_SIGNATURES: Mapping[str, tuple[Any, list[Any]]] = {
    "ft_count_nonzero": (_SIZE, [_PLACE, _NUMBER, _SIZE]),
    "ft_nonzero": (None, [_PLACE, _NUMBER, _PLACE, _NUMBER, _SIZE, _PLACE]),
    "ft_compress": (None, [_PLACE, _SIZE, _SIZE, _SIZE, _PLACE, _SIZE, _PLACE]),
    "ft_unique": (_SIZE, [_PLACE, _NUMBER, _SIZE, _SIZE, _NUMBER, _PLACE, _PLACE, _PLACE, _PLACE]),
    "ft_non_max_suppression": (
        _SIZE,
        [_PLACE, _PLACE, _SIZE, _SIZE, _SIZE, _NUMBER, _SIZE, ctypes.c_float, _PLACE, _PLACE],
    ),
    "ft_seed": (None, [ctypes.c_uint64, _PLACE]),
    "ft_uniform": (None, [_PLACE, _SIZE, _PLACE]),
    "ft_normal": (None, [_PLACE, _SIZE, _PLACE]),
    "ft_multinomial": (None, [_PLACE, _PLACE, _SIZE, _SIZE, _SIZE, _PLACE, _PLACE]),
}


class Library:
    """The functions of one shared library. OSError where it is none for this machine."""

    def __init__(self, path: Path) -> None:
        self._functions = ctypes.CDLL(str(path))
        for name, (result, parameters) in _SIGNATURES.items():
            function = getattr(self._functions, name)
            function.restype, function.argtypes = result, parameters

    def nonzero(self, data: np.ndarray) -> np.ndarray:
        """Where the elements that are not 0 are, in row-major order: [rank, count], of a scalar [1, count]."""
        kind = KINDS[data.dtype.name]
        found = self._functions.ft_count_nonzero(address(data), kind, data.size)
        places = aligned_empty((max(data.ndim, 1), found), np.int64)
        shape = np.array(data.shape, np.int64)
        self._functions.ft_nonzero(address(data), kind, address(shape), data.ndim, found, address(places))
        return places

    def compress(self, data: np.ndarray, axis: int, conditions: np.ndarray) -> np.ndarray:
        """The slices along an axis whose conditions hold; there are at most as many conditions as slices."""
        shape = list(data.shape)
        outer, inner = int(np.prod(shape[:axis], dtype=np.int64)), int(np.prod(shape[axis + 1 :], dtype=np.int64))
        found = self._functions.ft_count_nonzero(address(conditions), KINDS["bool"], conditions.size)
        result = aligned_empty((*shape[:axis], found, *shape[axis + 1 :]), data.dtype)
        if result.size:
            self._functions.ft_compress(
                address(data),
                outer,
                shape[axis],
                inner * data.itemsize,
                address(conditions),
                conditions.size,
                address(result),
            )
        return result

    def unique(self, items: np.ndarray, is_sorted: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Of [count, width] items: where each distinct one is first, which every item is, how often each occurs."""
        count, width = items.shape
        order, first, inverse, counts = (aligned_empty((count,), np.int64) for _ in range(4))
        places = map(address, (order, first, inverse, counts))
        found = self._functions.ft_unique(address(items), KINDS[items.dtype.name], count, width, is_sorted, *places)
        return first[:found], inverse, counts[:found]

    def non_max_suppression(
        self,
        boxes: np.ndarray,
        scores: np.ndarray,
        is_centre: bool,
        most: int,
        overlap: float,
        threshold: np.ndarray | None,
    ) -> np.ndarray:
        """Rows of batch, class and box. MemoryError where there is none for it."""
        batches, classes, count = scores.shape
        selected = aligned_empty((batches * classes * min(most, count), 3), np.int64)
        found = self._functions.ft_non_max_suppression(
            address(boxes),
            address(scores),
            batches,
            classes,
            count,
            is_centre,
            most,
            overlap,
            None if threshold is None else address(threshold),
            address(selected),
        )
        if found < 0:
            raise MemoryError
        return selected[:found]

    def generator(self, seed: int | None) -> Generator:
        """Random numbers from this seed on; without one, from anywhere."""
        state = np.zeros(4, np.uint64)
        self._functions.ft_seed(secrets.randbits(64) if seed is None else seed, address(state))
        return Generator(self._functions, state)


class Generator:
    """Random numbers: each call goes on where the one before ended."""

    def __init__(self, functions: ctypes.CDLL, state: np.ndarray) -> None:
        self._functions, self._state = functions, state

    def uniform(self, shape: tuple[int, ...]) -> np.ndarray:
        """In [0, 1)."""
        return self._filled(self._functions.ft_uniform, shape)

    def normal(self, shape: tuple[int, ...]) -> np.ndarray:
        """Of mean 0 and deviation 1."""
        return self._filled(self._functions.ft_normal, shape)

    def multinomial(self, logarithms: np.ndarray, samples: int) -> np.ndarray:
        """Of each row of logarithms so many classes, each with the probability that its logarithm says."""
        rows, classes = logarithms.shape
        sums, result = np.empty(classes), np.empty((rows, samples), np.int64)
        places = (address(self._state), address(logarithms))
        self._functions.ft_multinomial(*places, rows, classes, samples, address(sums), address(result))
        return result

    def _filled(self, fill: Any, shape: tuple[int, ...]) -> np.ndarray:
        result = np.empty(shape)
        fill(address(self._state), result.size, address(result))
        return result
