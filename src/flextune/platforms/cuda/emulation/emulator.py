"""Run generated CUDA source on this machine's CPU, and report what it computed and which threads raced."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from functools import cache
from pathlib import Path

import numpy as np

from flextune.errors import FlextuneError
from flextune.native.toolchain import compile_cpp
from flextune.platforms.base import Array
from flextune.platforms.cuda.emulation.source import emulated_source
from flextune.platforms.gpu.launch_plan import LaunchPlan
from flextune.temporary import PrivateFolder

_HERE = Path(__file__).parent
_TIMEOUT_SECS = 120
_RACE = "WARNING: ThreadSanitizer: data race"


class Order(IntEnum):
    """In which order the threads of a block run between barriers."""

    FORWARD = 0
    BACKWARD = 1
    SHUFFLED = 2


class EmulationError(FlextuneError):
    """The emulated kernel ended: it left a buffer, misaligned an access, or its threads waited for each other."""


@dataclass(frozen=True, slots=True)
class Emulated:
    """What an emulated run left: the buffers by name, and how many races were reported (0 without a sanitizer)."""

    arrays: Mapping[str, Array]
    races: int
    report: str
    matrix_reads: int
    """How many matrices of 8 x 16 bytes `ldmatrix` read."""
    bank_conflicts: int
    """How many times more the banks were read for them than once for each."""


class Emulator:
    """A program compiled for the CPU; `with_races` compiles it with ThreadSanitizer."""

    def __init__(self, source: str, plan: LaunchPlan, *, with_races: bool = False) -> None:
        self._plan = plan
        self._folder = PrivateFolder(kind="emulate")
        self._binary = self._folder.path / "kernel"
        unit = self._folder.path / "kernel.cpp"
        unit.write_text(emulated_source(source, plan, self._buffers), encoding="utf-8")
        sanitize = ["-fsanitize=thread,alignment" if with_races else "-fsanitize=alignment", "-g1"]
        scheduler = _scheduler(with_races)
        _compile([*sanitize, "-fno-sanitize-recover=alignment", str(unit), str(scheduler), "-o", str(self._binary)])

    @property
    def _buffers(self) -> tuple[str, ...]:
        return (*self._plan.parameters, *(name for name, _ in self._plan.workspaces))

    def run(self, arrays: Mapping[str, Array], order: Order = Order.FORWARD, *, eager: bool = False) -> Emulated:
        """Run on these arrays, one for each parameter of the plan by name.

        Asynchronous copies land when they are waited for, or at once with `eager`. Raises `EmulationError` where the
        program ends as it would not on a GPU, or could not on one.
        """
        files = [self._folder.path / f"{number}.bin" for number in range(len(self._buffers))]
        sizes = dict(self._plan.workspaces)
        for name, path in zip(self._buffers, files, strict=True):
            path.write_bytes(b"\xff" * sizes[name] if name in sizes else arrays[name].tobytes())
        command = [str(self._binary), str(int(order)), str(int(eager)), *map(str, files)]
        try:
            ended = subprocess.run(command, capture_output=True, text=True, check=False, timeout=_TIMEOUT_SECS)
        except subprocess.TimeoutExpired:
            raise EmulationError(f"the emulated kernel did not end in {_TIMEOUT_SECS} s") from None
        races = ended.stderr.count(_RACE)
        if ended.returncode and not races:
            raise EmulationError(f"the emulated kernel ended with {ended.returncode}: {ended.stderr.strip()[:400]}")
        found = {
            name: np.frombuffer(path.read_bytes(), arrays[name].dtype).reshape(arrays[name].shape)
            for name, path in zip(self._buffers, files, strict=True)
            if name in arrays
        }
        reads, cycles = map(int, ended.stdout.split() or (0, 0))  # nothing where races end it
        return Emulated(found, races, ended.stderr, reads, cycles - reads)

    def close(self) -> None:
        self._folder.close()


def sanitizer_fault() -> str:
    """Why races cannot be looked for on this machine; empty where they can."""
    try:
        _scheduler(True)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "empty.cpp")
            path.write_text("int main() { return 0; }")
            _compile(["-fsanitize=thread", str(path), "-o", f"{folder}/empty"])
            subprocess.run([f"{folder}/empty"], check=True, capture_output=True)
    except (FlextuneError, OSError, subprocess.CalledProcessError) as error:
        return f"no ThreadSanitizer: {str(error)[:200]}"
    return ""


def compiler_fault() -> str:
    """Why nothing can be emulated on this machine; empty where it can."""
    try:
        _scheduler(False)
    except FlextuneError as error:
        return str(error)
    return ""


@cache
def _scheduler(with_races: bool) -> Path:
    """The scheduler, compiled once per process; it is never sanitized itself."""
    folder = PrivateFolder(kind="emulate")
    _KEPT.append(folder)
    path = folder.path / "scheduler.o"
    _compile([*(["-DEMU_TSAN"] if with_races else []), "-c", str(_HERE / "scheduler.cpp"), "-o", str(path)])
    return path


_KEPT: list[PrivateFolder] = []


def _compile(arguments: Sequence[str]) -> None:
    compile_cpp(["-std=c++20", "-O1", "-w", "-ffp-contract=off", f"-I{_HERE}", *arguments], "emulating CUDA")
