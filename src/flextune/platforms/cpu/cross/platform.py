"""What platforms of CPUs that are not the host share: static programs for an emulator or a board."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import tvm

from flextune.errors import BuildError
from flextune.platforms.base import Kernel, Source
from flextune.platforms.cpu.cross.board_kernel import BoardKernel
from flextune.platforms.cpu.cross.code_generation import compile_executable, write_kernels
from flextune.platforms.cpu.cross.emulated_kernel import EmulatedKernel
from flextune.platforms.cpu.cross.machine import Machine
from flextune.platforms.cpu.cross.toolchain import link_program
from flextune.platforms.cpu.estimate import cpu_cost
from flextune.schedule.apply import ScheduledProgram, apply_trace
from flextune.schedule.space import SearchSpace
from flextune.target.board import Board
from flextune.target.peaks import Peaks
from flextune.target.target import Target
from flextune.temporary import PrivateFolder
from flextune.trial.artifact import Artifact
from flextune.trial.cost import Cost
from flextune.trial.measurement import Candidate
from flextune.workload.work import Work
from flextune.workload.workload import Workload


@dataclass(frozen=True, slots=True)
class Family:
    """What is different from one family of processors to the next."""

    machine: Machine
    """Its name in the tools that compile and emulate it."""
    described: Callable[[Target], tvm.target.Target]
    """TVM's form of a target."""
    space: Callable[[Workload, Target], SearchSpace]
    """The rules of all CPUs with this family's limits and intrinsics."""
    emulated_cpu: Callable[[Target], str]
    """QEMU's processor for a target."""
    link: Callable[[Machine, Sequence[Path], Sequence[str], Path], Path] = link_program
    """How a program is made of objects and the names of kernels in them."""


class CrossPlatform:
    """See `flextune.platforms.base.Platform`. An artifact is a program with all kernels that were built together."""

    def __init__(self, name: str, family: Family) -> None:
        self.name = name
        self._family = family

    @property
    def kind(self) -> str:
        """Of its artifacts."""
        return f"program for {self._family.machine.name}"

    def search_space(self, workload: Workload, target: Target) -> SearchSpace:
        return self._family.space(workload, target)

    def build(self, candidates: Sequence[Candidate]) -> Sequence[Artifact]:
        target = candidates[0].target
        programs = {f"main{index}": _program(candidate) for index, candidate in enumerate(candidates)}
        functions = {
            name: program.module["main"].with_attr("global_symbol", name) for name, program in programs.items()
        }
        with PrivateFolder(kind="link") as folder:
            described = self._family.described(target)
            compiled = write_kernels(tvm.IRModule(functions), described, folder.path / "kernels.o")
            linked = self._family.link(
                self._family.machine, [compiled], tuple(programs), folder.path / "program"
            ).read_bytes()
        kind = f"{self.kind}, {self._family.emulated_cpu(target)}"
        return [Artifact(kind, linked, name, tuple(program.packs)) for name, program in programs.items()]

    def source(self, candidate: Candidate) -> Source:
        """See `flextune.platforms.base.SourcePlatform`."""
        function = _program(candidate).module["main"].with_attr("global_symbol", "main0")
        executable = compile_executable(function, self._family.described(candidate.target), checked=False)
        return Source(f"assembly of {self._family.machine.name}", str(executable.mod.inspect_source("asm")))

    def load(self, artifact: Artifact, device: int = 0) -> Kernel:
        del device  # the emulator
        return EmulatedKernel(self._family.machine, self._emulated_cpu(artifact), artifact)

    def load_on(self, board: Board, artifact: Artifact, target: Target, limit_secs: float) -> Kernel:
        """See `flextune.platforms.base.BoardPlatform`."""
        self._emulated_cpu(artifact)
        return BoardKernel(board, artifact, target.cores, limit_secs)

    def _emulated_cpu(self, artifact: Artifact) -> str:
        kind, _, cpu = artifact.kind.partition(", ")
        if kind != self.kind:
            raise BuildError(f"expected a {self.kind}, got {artifact.kind!r}")
        return cpu

    def estimate(self, work: Work, target: Target, peaks: Peaks | None = None) -> Cost:
        return cpu_cost(work, target, peaks)


def _program(candidate: Candidate) -> ScheduledProgram:
    return apply_trace(candidate.workload, candidate.trace, candidate.assignment, candidate.target)
