"""The VTA platform: instructions of a tensor accelerator, executed by a simulator that counts cycles."""

from __future__ import annotations

from collections.abc import Sequence

from flextune.errors import ScheduleError
from flextune.platforms.base import Kernel
from flextune.platforms.vta.artifact import artifact_of, opened
from flextune.platforms.vta.code_generation import generate
from flextune.platforms.vta.form import form_of
from flextune.platforms.vta.hardware import BLOCK, hardware_of
from flextune.platforms.vta.kernel import VtaKernel
from flextune.platforms.vta.space import tiling_of, vta_space
from flextune.schedule.space import SearchSpace
from flextune.target.peaks import Peaks
from flextune.target.target import Target
from flextune.trial.artifact import Artifact
from flextune.trial.cost import Cost, CostOrigin, Unit
from flextune.trial.measurement import Candidate
from flextune.workload.work import Work
from flextune.workload.workload import Workload

_OPERATIONS = 2 * BLOCK * BLOCK
"""Of a cycle: multiplications and additions."""


class VtaPlatform:
    """See `flextune.platforms.base.Platform`. Traces have no steps: the assignment says all."""

    name = "vta"

    def search_space(self, workload: Workload, target: Target) -> SearchSpace:
        return vta_space(workload, target)

    def build(self, candidates: Sequence[Candidate]) -> Sequence[Artifact]:
        return [_built(candidate) for candidate in candidates]

    def load(self, artifact: Artifact, device: int = 0) -> Kernel:
        del device  # the simulator is one as good as another
        return VtaKernel(*opened(artifact))

    def estimate(self, work: Work, target: Target, peaks: Peaks | None = None) -> Cost:
        """In cycles: an accelerator's clock is not known."""
        del peaks
        hardware = hardware_of(target)
        return Cost(
            compute=work.operations / _OPERATIONS,
            memory=work.bytes / hardware.bus_bytes,
            launch=float(hardware.latency + hardware.fill),
            unit=Unit.CYCLES,
            origin=CostOrigin.MODELLED,
        )


def _built(candidate: Candidate) -> Artifact:
    if candidate.trace.steps:
        raise ScheduleError(f"vta takes no steps, got {candidate.trace.to_json()}")
    form, hardware = form_of(candidate.workload), hardware_of(candidate.target)
    return artifact_of(candidate, generate(tiling_of(form, hardware, candidate.assignment)))
