"""A kernel in a static program, run by QEMU: its outputs, and how many instructions a call takes."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from flextune.errors import EnvironmentFault
from flextune.platforms.base import Array
from flextune.platforms.cpu.cross.machine import Machine
from flextune.platforms.cpu.cross.program_arguments import ProgramArguments
from flextune.platforms.cpu.cross.toolchain import INSTALL_QEMU, counting_plugin
from flextune.temporary import PrivateFolder
from flextune.trial.artifact import Artifact


class EmulatedKernel:
    """See `flextune.platforms.base.Kernel` and `CountedKernel`. Every run counts; programs use one thread."""

    def __init__(self, machine: Machine, cpu: str, artifact: Artifact) -> None:
        self._machine, self._cpu, self._entry = machine, cpu, artifact.entry
        self._packs = artifact.packs
        self._folder = PrivateFolder(kind="emulated")
        self._program = self._folder.path / "program"
        self._program.write_bytes(artifact.content)
        self._program.chmod(0o700)
        self._bound: tuple[Array, ...] = ()
        self._given = ProgramArguments((), ())
        self._parts: dict[str, float] = {}

    def bind(self, inputs: Sequence[Array], outputs: Sequence[Array]) -> None:
        """Constants that the program wants packed are packed here; the rest is read again before every run."""
        self._bound = (*inputs, *outputs)
        self._given = ProgramArguments(self._packs, self._bound)
        paths = [os.fspath(self._file(index)) for index in range(len(self._bound))]
        self._arguments.write_text(self._given.list_text(paths), encoding="utf-8")
        for index in self._given.packed:
            self._given.arrays[index].tofile(self._file(index))
        self._parts = {}

    def run(self) -> None:
        arrays = {index: self._given.arrays[index] for index in self._given.returned}
        for index, array in arrays.items():
            array.tofile(self._file(index))
        self._call()
        for index, array in arrays.items():
            array[...] = np.fromfile(self._file(index), array.dtype).reshape(array.shape)

    def time(self, number: int, repeats: int) -> tuple[float, ...]:
        """Instructions of one call, which are the same in every repeat."""
        del number
        if not self._parts:
            kept = [array.copy() for array in self._bound]
            self.run()
            for array, before in zip(self._bound, kept, strict=True):
                array[...] = before
        return (sum(self._parts.values()),) * repeats

    def parts(self) -> Mapping[str, float]:
        return self._parts

    def _call(self) -> None:
        """Raises RuntimeError with what the program said when it fails."""
        counts = self._folder.path / "counts.json"
        counts.unlink(missing_ok=True)
        plugin = f"{counting_plugin()},out={counts}"
        program = [str(self._program), self._entry, "1", "0", "0", str(self._arguments)]
        command = [
            self._machine.emulator,
            *self._machine.emulator_options,
            "-cpu",
            self._cpu,
            "-plugin",
            plugin,
            *program,
        ]
        try:
            ended = subprocess.run(command, capture_output=True, text=True, check=False)
        except OSError as error:
            raise EnvironmentFault(f"{self._machine.emulator} cannot be run: {error}; {INSTALL_QEMU}") from error
        if ended.returncode != 0:
            said = ended.stderr.strip()[-300:] or "it said nothing"
            raise RuntimeError(f"{self._machine.emulator} -cpu {self._cpu} ended with {ended.returncode}: {said}")
        try:
            self._parts = {name: float(count) for name, count in json.loads(counts.read_text()).items()}
        except (OSError, ValueError) as error:
            raise EnvironmentFault(f"{self._machine.emulator} counted nothing: is it built with plugins?") from error

    @property
    def _arguments(self) -> Path:
        return self._folder.path / "arguments"

    def _file(self, index: int) -> Path:
        return self._folder.path / f"{index}.bin"
