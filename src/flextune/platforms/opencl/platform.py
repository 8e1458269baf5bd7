"""The OpenCL platform: TVM's OpenCL C, compiled by the device's driver where it runs."""

from __future__ import annotations

import json
from collections.abc import Sequence

from flextune.errors import BuildError, UsageError
from flextune.platforms.base import Kernel, Source
from flextune.platforms.gpu.estimate import gpu_cost
from flextune.platforms.gpu.launch_plan import LaunchPlan
from flextune.platforms.gpu.limits import limits_of
from flextune.platforms.gpu.space import gpu_space
from flextune.platforms.opencl.device import found_devices, open_device
from flextune.platforms.opencl.kernel import OpenClKernel
from flextune.platforms.opencl.kind import DOUBLE, HALF
from flextune.platforms.opencl.source import local_bytes, opencl_source
from flextune.schedule.apply import apply_trace
from flextune.schedule.space import SearchSpace
from flextune.target.peaks import Peaks
from flextune.target.target import Target
from flextune.trial.artifact import Artifact, CompilerReport
from flextune.trial.cost import Cost
from flextune.trial.measurement import Candidate
from flextune.workload.work import Work
from flextune.workload.workload import Workload

KIND = "opencl c and launches"

TYPES = {"float16": HALF, "float64": DOUBLE}
"""Features that types in memory need."""


class OpenClPlatform:
    """See `flextune.platforms.base.Platform`."""

    name = "opencl"

    def search_space(self, workload: Workload, target: Target) -> SearchSpace:
        require_types(workload, target)
        return gpu_space(workload, target, limits_of(target, "units", reduces_in_shared=True), tensor_cores=False)

    def build(self, candidates: Sequence[Candidate]) -> Sequence[Artifact]:
        return [build_candidate(candidate) for candidate in candidates]

    def source(self, candidate: Candidate) -> Source:
        """See `flextune.platforms.base.SourcePlatform`."""
        return Source("OpenCL C", opened(build_candidate(candidate))[1], is_compiled_by_driver=True)

    def load(self, artifact: Artifact, device: int = 0) -> Kernel:
        name, source, plan = opened(artifact)
        return OpenClKernel(open_device(name, device), source, plan)

    def open_device(self, device: int = 0) -> None:
        """See `flextune.platforms.base.DevicePlatform`: drivers take their addresses when they are first asked."""
        del device
        for facts, _ in found_devices():
            open_device(facts.name)

    def estimate(self, work: Work, target: Target, peaks: Peaks | None = None) -> Cost:
        del peaks  # those of the target's text
        return gpu_cost(work, target, {})


def require_types(workload: Workload, target: Target) -> None:
    """Raises `UsageError` where the device does not compute with the workload's types."""
    for spec in (*workload.inputs, *workload.outputs):
        feature = TYPES.get(spec.dtype)
        if feature is not None and not target.has(feature):
            raise UsageError(f"{workload} has numbers of {spec.dtype}, which {target} lacks (feature {feature})")


def build_candidate(candidate: Candidate) -> Artifact:
    """One candidate as OpenCL C with its launches.

    Raises `BuildError` where a group would use more than the device has.
    """
    target = candidate.target
    program = apply_trace(candidate.workload, candidate.trace, candidate.assignment, target)
    source, plan = opencl_source(program.module, target)
    shared, threads = local_bytes(source), max(launch.threads for launch in plan.launches)
    if shared > target.number("shared"):
        raise BuildError(f"a group uses {shared} bytes of local memory; {target} has {target.number('shared')}")
    if threads > target.number("threads"):
        raise BuildError(f"a group has {threads} threads; {target} has {target.number('threads')}")
    content = {"device": target.word("device"), "source": source, "plan": plan.to_json()}
    report = CompilerReport(shared_bytes=shared)
    return Artifact(KIND, json.dumps(content).encode(), "main", tuple(program.packs), report)


def opened(artifact: Artifact) -> tuple[str, str, LaunchPlan]:
    """The device's name, the source and the launches of an artifact. Raises `BuildError` for others."""
    if artifact.kind != KIND:
        raise BuildError(f"expected {KIND}, got {artifact.kind!r}")
    try:
        content = json.loads(artifact.content)
        return str(content["device"]), str(content["source"]), LaunchPlan.parse(content["plan"])
    except (ValueError, KeyError, TypeError) as error:
        raise BuildError(f"no {KIND}: {artifact.content[:80]!r}: {error}") from error
