"""The CUDA platform: TVM's CUDA source, NVRTC, and the driver's interface."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence

from flextune.errors import BuildError
from flextune.platforms.base import Kernel, Source
from flextune.platforms.cuda.driver import open_driver
from flextune.platforms.cuda.kernel import CudaKernel
from flextune.platforms.cuda.nvrtc import Resources, compile_cuda
from flextune.platforms.cuda.source import cuda_source
from flextune.platforms.gpu.estimate import gpu_cost
from flextune.platforms.gpu.launch_plan import LaunchPlan
from flextune.platforms.gpu.limits import limits_of
from flextune.platforms.gpu.space import gpu_space
from flextune.schedule.apply import ScheduledProgram, apply_trace
from flextune.schedule.space import SearchSpace
from flextune.target.peaks import Peaks
from flextune.target.target import Target
from flextune.trial.artifact import Artifact, CompilerReport
from flextune.trial.cost import Cost
from flextune.trial.measurement import Candidate
from flextune.workload.work import Work
from flextune.workload.workload import Workload

KIND = "cubin and launches"


class CudaPlatform:
    """See `flextune.platforms.base.Platform`."""

    name = "cuda"

    def search_space(self, workload: Workload, target: Target) -> SearchSpace:
        return gpu_space(workload, target, limits_of(target))

    def build(self, candidates: Sequence[Candidate]) -> Sequence[Artifact]:
        return [build_candidate(candidate) for candidate in candidates]

    def source(self, candidate: Candidate) -> Source:
        """See `flextune.platforms.base.SourcePlatform`."""
        return Source("CUDA C++", _source(candidate)[1])

    def load(self, artifact: Artifact, device: int = 0) -> Kernel:
        cubin, plan = opened(artifact)
        return CudaKernel(open_driver(), device, cubin, plan)

    def open_device(self, device: int = 0) -> None:
        """See `flextune.platforms.base.DevicePlatform`."""
        open_driver().use_device(device)

    def estimate(self, work: Work, target: Target, peaks: Peaks | None = None) -> Cost:
        del peaks  # those of the target's text
        return gpu_cost(work, target)


def build_candidate(candidate: Candidate) -> Artifact:
    """One candidate as a cubin with its launches, and what ptxas said of it.

    Raises `BuildError` where a block would use more than the device has: no compiler refuses that.
    """
    program, source, plan = _source(candidate)
    compiled = compile_cuda(source, candidate.target.word("arch"))
    check_limits(plan, compiled.resources, candidate.target)
    content = {"cubin": base64.b64encode(compiled.cubin).decode(), "plan": plan.to_json()}
    report = CompilerReport(
        registers=compiled.resources.registers,
        spills=compiled.resources.spill_bytes // 4,
        shared_bytes=compiled.resources.shared_bytes + plan.dynamic_shared,
        code_bytes=len(compiled.cubin),
        warnings=compiled.warnings,
    )
    return Artifact(KIND, json.dumps(content).encode(), "main", tuple(program.packs), report)


def _source(candidate: Candidate) -> tuple[ScheduledProgram, str, LaunchPlan]:
    program = apply_trace(candidate.workload, candidate.trace, candidate.assignment, candidate.target)
    return program, *cuda_source(program.module, candidate.target)


def check_limits(plan: LaunchPlan, resources: Resources, target: Target) -> None:
    """Raises `BuildError` where a launch would be refused by the device."""
    limits = limits_of(target)
    for launch in plan.launches:
        shared = resources.shared_bytes + launch.dynamic_shared
        if launch.threads > limits.threads:
            raise BuildError(f"{launch.kernel} has {launch.threads} threads per block; {target} has {limits.threads}")
        if shared > limits.shared_bytes:
            raise BuildError(f"{launch.kernel} uses {shared} shared bytes; a block has {limits.shared_bytes}")
        if resources.registers * launch.threads > limits.block_registers:
            raise BuildError(
                f"{launch.kernel} uses {resources.registers} registers in {launch.threads} threads; a block has "
                f"{limits.block_registers}"
            )


def opened(artifact: Artifact) -> tuple[bytes, LaunchPlan]:
    """The cubin and the launches of an artifact. Raises `BuildError` for others."""
    if artifact.kind != KIND:
        raise BuildError(f"expected a {KIND}, got {artifact.kind!r}")
    try:
        content = json.loads(artifact.content)
        return base64.b64decode(content["cubin"], validate=True), LaunchPlan.parse(content["plan"])
    except (ValueError, KeyError, TypeError) as error:
        raise BuildError(f"no {KIND}: {artifact.content[:80]!r}: {error}") from error
