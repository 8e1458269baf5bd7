"""The platforms whose kernels Triton compiles: NVIDIA's through the CUDA driver's interface, AMD's compiled only."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence

from flextune.errors import BuildError, EnvironmentFault, ScheduleError
from flextune.platforms.base import Kernel
from flextune.platforms.cuda.driver import open_driver
from flextune.platforms.cuda.kernel import CudaKernel
from flextune.platforms.gpu.estimate import gpu_cost
from flextune.platforms.gpu.launch_plan import Launch, LaunchPlan
from flextune.platforms.triton.compiler import Compiled, compile_launch
from flextune.platforms.triton.form import product_of
from flextune.platforms.triton.program import TritonProgram, triton_program
from flextune.platforms.triton.space import triton_space
from flextune.schedule.space import SearchSpace
from flextune.target.peaks import Peaks
from flextune.target.target import Target
from flextune.trial.artifact import Artifact, CompilerReport
from flextune.trial.cost import Cost
from flextune.trial.measurement import Candidate
from flextune.workload.work import Work
from flextune.workload.workload import Workload

KIND = "triton kernels and launches"
SCRATCH = "scratch"
"""A small buffer for the addresses that every kernel of Triton takes beside its own, and does not use."""
_SCRATCH_BYTES = 256


class TritonPlatform:
    """See `flextune.platforms.base.Platform`. Traces have no steps: the assignment says all."""

    name = "triton"

    def search_space(self, workload: Workload, target: Target) -> SearchSpace:
        return triton_space(workload, target)

    def build(self, candidates: Sequence[Candidate]) -> Sequence[Artifact]:
        return [build_candidate(candidate) for candidate in candidates]

    def load(self, artifact: Artifact, device: int = 0) -> Kernel:
        codes, plan = opened(artifact)
        first = plan.launches[0].kernel
        return CudaKernel(open_driver(), device, codes[first], plan, codes)

    def open_device(self, device: int = 0) -> None:
        """See `flextune.platforms.base.DevicePlatform`."""
        open_driver().use_device(device)

    def estimate(self, work: Work, target: Target, peaks: Peaks | None = None) -> Cost:
        del peaks  # those of the target's text
        return gpu_cost(work, target)


class RocmPlatform(TritonPlatform):
    """Builds for AMD's GPUs."""

    name = "rocm"

    def load(self, artifact: Artifact, device: int = 0) -> Kernel:
        del device
        opened(artifact)
        raise EnvironmentFault("kernels for AMD's GPUs are compiled only: nothing of flextune launches them yet")

    def open_device(self, device: int = 0) -> None:
        """There is none to open."""


def program_of(candidate: Candidate) -> TritonProgram:
    """What a candidate launches. Raises `ScheduleError` where it has steps of others."""
    if candidate.trace.steps:
        raise ScheduleError(f"{candidate.target.kind} takes no steps, got {candidate.trace.to_json()}")
    return triton_program(product_of(candidate.workload), candidate.assignment)


def build_candidate(candidate: Candidate) -> Artifact:
    """One candidate as machine code with its launches.

    Raises `BuildError` where a block would use more than the device has: Triton does not refuse that.
    """
    program = program_of(candidate)
    built = {launch.kernel: compile_launch(launch, candidate.target) for launch in program.launches}
    check_limits(built, candidate.target)
    content = {
        "codes": {each.name: base64.b64encode(each.code).decode() for each in built.values()},
        "plan": launch_plan(program, built).to_json(),
    }
    report = CompilerReport(
        registers=max(each.registers for each in built.values()),
        spills=max(each.spill_bytes for each in built.values()) // 4,
        shared_bytes=max(each.shared_bytes for each in built.values()),
        code_bytes=sum(len(each.code) for each in built.values()),
    )
    return Artifact(KIND, json.dumps(content).encode(), "main", (), report)


def launch_plan(program: TritonProgram, built: Mapping[str, Compiled]) -> LaunchPlan:
    """The launches of a program whose kernels are compiled."""
    launches = []
    for each in program.launches:
        code = built[each.kernel]
        arguments = tuple(buffer for _, buffer in each.arguments)
        unused = (SCRATCH,) * (code.parameters - len(arguments))
        launches.append(Launch(code.name, (*arguments, *unused), each.grid, (code.threads, 1, 1), code.shared_bytes))
    return LaunchPlan(program.parameters, tuple(launches), (*program.workspaces, (SCRATCH, _SCRATCH_BYTES)))


def check_limits(built: Mapping[str, Compiled], target: Target) -> None:
    """Raises `BuildError` where a launch would be refused by the device."""
    for name, each in built.items():
        if each.shared_bytes > target.number("shared"):
            raise BuildError(f"{name} uses {each.shared_bytes} shared bytes; a block has {target.number('shared')}")
        if each.threads > target.number("threads"):
            raise BuildError(f"{name} has {each.threads} threads per block; {target} has {target.number('threads')}")


def opened(artifact: Artifact) -> tuple[dict[str, bytes], LaunchPlan]:
    """The machine code of each kernel by name, and the launches, of an artifact. Raises `BuildError` for others."""
    if artifact.kind != KIND:
        raise BuildError(f"expected {KIND}, got {artifact.kind!r}")
    try:
        content = json.loads(artifact.content)
        codes = {str(name): base64.b64decode(code, validate=True) for name, code in content["codes"].items()}
        return codes, LaunchPlan.parse(content["plan"])
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise BuildError(f"no {KIND}: {artifact.content[:80]!r}: {error}") from error
