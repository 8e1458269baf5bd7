"""Members of OpenCL spaces: what they compute on PoCL, and what oclgrind reports of them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from benchmarks.gpu.members import WORKLOADS, Found, prepared
from flextune.errors import FlextuneError, UsageError
from flextune.measure.output_check import check_outputs, poison
from flextune.platforms import platform_registry
from flextune.platforms.base import Array
from flextune.platforms.gpu.launch_plan import LaunchPlan
from flextune.platforms.opencl.platform import OpenClPlatform, opened
from flextune.platforms.opencl.simulation import simulate
from flextune.target.kinds import unmeasurable
from flextune.target.target import Target
from flextune.trial.artifact import Artifact
from flextune.trial.measurement import Candidate
from flextune.workload.parse import parse_workload
from flextune.workload.workload import Workload

POCL = Target.parse("opencl:pocl")
BARRIER = re.compile(re.escape("barrier(CLK_LOCAL_MEM_FENCE);"))


SIMULATED_FLOPS = 100_000
"""Larger workloads take oclgrind too long: they are run on PoCL alone."""


def device_fault() -> str:
    """Why OpenCL kernels cannot run here; empty where they can."""
    return unmeasurable(POCL)


def computed_workloads() -> Iterator[str]:
    """Those whose types PoCL has."""
    for text in WORKLOADS:
        try:
            platform_registry.get(POCL.kind).search_space(parse_workload(text), POCL)
        except UsageError:  # float16
            continue
        yield text


def check(candidate: Candidate, *, simulated: bool) -> Found:
    """A member on PoCL and, if it is `simulated` and small, under oclgrind; what stops either is a wrong member."""
    workload, inputs = candidate.workload, candidate.workload.random_inputs(0)
    simulated = simulated and workload.flops <= SIMULATED_FLOPS
    try:
        [artifact] = OpenClPlatform().build([candidate])
        wrong = device_wrong(workload, artifact, inputs)
        _, source, plan = opened(artifact)
        found, reports = simulation_finds(workload, source, plan, inputs) if simulated else ("", 0)
    except FlextuneError as error:
        return Found(candidate, f"{type(error).__name__}: {error}", 0, 0, "")
    return Found(candidate, wrong or found, reports, 0, mispredicted(candidate, artifact))


def device_wrong(workload: Workload, artifact: Artifact, inputs: Sequence[Array]) -> str:
    """What is wrong with the numbers of a program on the device."""
    references = workload.reference(list(inputs))
    outputs = [poison(array, spec.element) for array, spec in zip(references, workload.outputs, strict=True)]
    kernel = OpenClPlatform().load(artifact)
    kernel.bind([array.copy() for array in inputs], outputs)
    kernel.run()
    return check_outputs(workload, outputs, references).error


def simulation_finds(workload: Workload, source: str, plan: LaunchPlan, inputs: Sequence[Array]) -> tuple[str, int]:
    """What is wrong with the numbers under oclgrind, and how much else it reports."""
    arrays, references = prepared(workload, plan, inputs)
    ended = simulate(source, plan, arrays)
    outputs = [ended.arrays[name] for name in plan.parameters[len(inputs) :]]
    return check_outputs(workload, outputs, references).error, sum(ended.reports.values())


def mispredicted(candidate: Candidate, artifact: Artifact) -> str:
    """Where local memory is not what the constraints say."""
    tiles = [value for name, value in candidate.assignment.items() if name.endswith("shared_bytes")]
    has = artifact.report.shared_bytes if artifact.report else None
    return (
        "" if has == max(tiles, default=0) else f"{has} bytes of local memory, {max(tiles, default=0)} were predicted"
    )


def planted(candidate: Candidate) -> Iterator[tuple[str, str, LaunchPlan]]:
    """Programs with one fault each, by name: a barrier left out, an index shifted, a tile too small."""
    [artifact] = OpenClPlatform().build([candidate])
    _, source, plan = opened(artifact)
    for number, match in enumerate(BARRIER.finditer(source)):
        yield f"OpenCL barrier {number} left out", source[: match.start()] + source[match.end() :], plan
    tile = re.search(r"__local float (\w+)\[(\d+)\];", source)
    if tile is None:
        return
    less = f"__local float {tile[1]}[{int(tile[2]) - 8}];"
    yield "OpenCL tile too small", source[: tile.start()] + less + source[tile.end() :], plan
    stored = source.index(f"{tile[1]}[", tile.end()) + len(tile[1]) + 1
    yield "OpenCL index shifted by one", source[:stored] + "1 + " + source[stored:], plan


def is_found(candidate: Candidate, source: str, plan: LaunchPlan) -> bool:
    """Whether oclgrind, or a comparison of its numbers, tells that a program is wrong."""
    try:
        wrong, reports = simulation_finds(candidate.workload, source, plan, candidate.workload.random_inputs(0))
    except FlextuneError:
        return True
    return bool(wrong or reports)
