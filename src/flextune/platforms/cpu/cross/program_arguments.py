"""What a program with kernels is called with: a list of arguments, and their elements in files of plain numbers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from flextune.errors import BuildError
from flextune.platforms.base import Array
from flextune.schedule.packing import PackedInput

_TYPE_CODES = {"i": 0, "u": 1, "b": 1, "f": 2}
"""DLPack's, by NumPy's kind of type."""


class ProgramArguments:
    """Arrays as the program wants them: constants that it has packed are packed, the others are used in place."""

    def __init__(self, packs: Sequence[PackedInput], arrays: Sequence[Array]) -> None:
        packing = {pack.index: pack for pack in packs}
        self.packed = frozenset(packing)
        """Numbers of those that are packed: they are never read back."""
        self.arrays = [
            np.ascontiguousarray(packing[index].pack(array)) if index in packing else array
            for index, array in enumerate(arrays)
        ]

    @property
    def returned(self) -> list[int]:
        """Numbers of those that are read back, inputs too: they are checked."""
        return [index for index in range(len(self.arrays)) if index not in self.packed]

    def list_text(self, paths: Sequence[str]) -> str:
        """The file of arguments for `native/kernel_program.c`, with the names of the files of elements."""
        return "".join(map(_row, range(len(self.arrays)), self.arrays, paths))


def _row(index: int, array: Array, path: str) -> str:
    if array.dtype.kind not in _TYPE_CODES:
        raise BuildError(f"argument {index} is of {array.dtype}, which no kernel takes")
    words = (_TYPE_CODES[array.dtype.kind], array.dtype.itemsize * 8, array.ndim, *array.shape)
    return f"{' '.join(map(str, words))} {path}\n"
