"""A kernel in a static program that runs on a board: its outputs, and the seconds of a call by the board's clock."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from flextune.platforms.base import Array
from flextune.platforms.cpu.cross.program_arguments import ProgramArguments
from flextune.target.board import Board, BoardError, Call
from flextune.trial.artifact import Artifact

_AHEAD = 5
"""Repeats that are made at once: a connection takes longer than most of them."""
_PROGRAM, _ARGUMENTS = "program", "arguments"


class BoardKernel:
    """See `flextune.platforms.base.Kernel`. Nothing stays on the board: each call brings program and inputs."""

    def __init__(self, board: Board, artifact: Artifact, threads: int, limit_secs: float) -> None:
        self._board, self._artifact, self._threads, self._limit_secs = board, artifact, threads, limit_secs
        self._arguments = ProgramArguments((), ())
        self._ahead: dict[int, list[float]] = {}

    def bind(self, inputs: Sequence[Array], outputs: Sequence[Array]) -> None:
        self._arguments = ProgramArguments(self._artifact.packs, (*inputs, *outputs))
        self._ahead = {}

    def run(self) -> None:
        """Calls it once, and once more for its time, which `time` gives if it is asked next."""
        returned = self._arguments.returned
        secs, content = self._called(1, 1, tuple(map(_file, returned)))
        arrays = [self._arguments.arrays[index] for index in returned]
        if len(content) != sum(array.nbytes for array in arrays):
            raise BoardError(f"{self._board} gave back {len(content)} bytes in place of the arguments")
        begin = 0
        for array in arrays:
            end = begin + array.nbytes
            array[...] = np.frombuffer(content[begin:end], array.dtype).reshape(array.shape)
            begin = end
        self._ahead = {1: secs}

    def time(self, number: int, repeats: int) -> tuple[float, ...]:
        ahead = self._ahead.setdefault(number, [])
        if len(ahead) < repeats:
            secs, _ = self._called(number, max(_AHEAD, repeats - len(ahead)), ())
            ahead += secs
        taken, self._ahead[number] = ahead[:repeats], ahead[repeats:]
        return tuple(taken)

    def _called(self, number: int, repeats: int, returned: tuple[str, ...]) -> tuple[list[float], bytes]:
        arrays = self._arguments.arrays
        names = [_file(index) for index in range(len(arrays))]
        files = (
            (_PROGRAM, self._artifact.content),
            (_ARGUMENTS, self._arguments.list_text(names).encode()),
            *((name, array.tobytes()) for name, array in zip(names, arrays, strict=True)),
        )
        words = (self._artifact.entry, str(self._threads), str(number), str(repeats), _ARGUMENTS)
        said, content = self._board.run(Call(files, words, returned, self._limit_secs))
        return self._secs(said, repeats), content

    def _secs(self, said: str, repeats: int) -> list[float]:
        try:
            secs = [float(word) for word in said.split()]
        except ValueError:
            secs = []
        if len(secs) != repeats:
            raise BoardError(f"{self._board} gave no {repeats} times but {said[:100]!r}")
        return secs


def _file(index: int) -> str:
    return f"{index}.bin"
