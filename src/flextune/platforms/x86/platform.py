"""The x86 platform: TVM's LLVM back end with the rules and intrinsics of this folder."""

from __future__ import annotations

from collections.abc import Sequence

import tvm

from flextune.errors import BuildError
from flextune.platforms.base import Kernel, Source
from flextune.platforms.cpu.estimate import cpu_cost
from flextune.platforms.cpu.shared_library import compiler_reports, load_module, machine_code
from flextune.platforms.cpu.tvm_kernel import TvmKernel
from flextune.platforms.x86.code_generation import compile_executable
from flextune.platforms.x86.intrinsics import register_intrinsics
from flextune.platforms.x86.rules import generate_space
from flextune.schedule.apply import ScheduledProgram, apply_trace
from flextune.schedule.space import SearchSpace
from flextune.target.peaks import Peaks
from flextune.target.target import Target
from flextune.trial.artifact import Artifact
from flextune.trial.cost import Cost
from flextune.trial.measurement import Candidate
from flextune.workload.work import Work
from flextune.workload.workload import Workload


class X86Platform:
    """See `flextune.platforms.base.Platform`. TVM knows this folder's intrinsics once there is one."""

    name = "x86"

    def __init__(self) -> None:
        register_intrinsics()

    def search_space(self, workload: Workload, target: Target) -> SearchSpace:
        return generate_space(workload, target)

    def build(self, candidates: Sequence[Candidate]) -> Sequence[Artifact]:
        """One module for all: what LLVM takes for a module of any size is a third of what it takes for a kernel."""
        programs = {f"main{index}": _program(candidate) for index, candidate in enumerate(candidates)}
        functions = {
            name: program.module["main"].with_attr("global_symbol", name) for name, program in programs.items()
        }
        executable = compile_executable(tvm.IRModule(functions), candidates[0].target, checked=False)
        kind, content = machine_code(executable)
        reports = compiler_reports(kind, content, tuple(programs))
        return [
            Artifact(kind, content, name, tuple(program.packs), report)
            for (name, program), report in zip(programs.items(), reports, strict=True)
        ]

    def source(self, candidate: Candidate) -> Source:
        """See `flextune.platforms.base.SourcePlatform`."""
        function = _program(candidate).module["main"].with_attr("global_symbol", "main0")
        executable = compile_executable(function, candidate.target, checked=False)
        return Source("assembly of x86", str(executable.mod.inspect_source("asm")))

    def load(self, artifact: Artifact, device: int = 0) -> Kernel:
        del device  # there is one CPU
        module = load_module(artifact.kind, artifact.content)
        try:
            return TvmKernel(module, artifact.packs, artifact.entry)
        except AttributeError as error:
            raise BuildError(f"the {artifact.kind} has no program {artifact.entry!r}") from error

    def estimate(self, work: Work, target: Target, peaks: Peaks | None = None) -> Cost:
        return cpu_cost(work, target, peaks)


def _program(candidate: Candidate) -> ScheduledProgram:
    return apply_trace(candidate.workload, candidate.trace, candidate.assignment, candidate.target)
