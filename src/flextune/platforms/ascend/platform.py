"""The Ascend platform: kernels in Ascend C, executed by an emulation whose cycles are a model."""

from __future__ import annotations

from collections.abc import Sequence

from flextune.errors import ScheduleError
from flextune.platforms.ascend.artifact import artifact_of, opened
from flextune.platforms.ascend.form import FRACTAL, form_of
from flextune.platforms.ascend.kernel import AscendKernel
from flextune.platforms.ascend.source import source_of
from flextune.platforms.ascend.space import ascend_space
from flextune.platforms.base import Kernel, Source
from flextune.schedule.space import SearchSpace
from flextune.target.peaks import Peaks
from flextune.target.target import Target
from flextune.trial.artifact import Artifact
from flextune.trial.cost import Cost, CostOrigin, Unit
from flextune.trial.measurement import Candidate
from flextune.workload.work import Work
from flextune.workload.workload import Workload

_OPERATIONS = 2 * FRACTAL**3
"""Of a cycle of one core: multiplications and additions."""
_START = 30.0


class AscendPlatform:
    """See `flextune.platforms.base.Platform`. Traces have no steps: the assignment says all."""

    name = "ascend"

    def search_space(self, workload: Workload, target: Target) -> SearchSpace:
        return ascend_space(workload, target)

    def build(self, candidates: Sequence[Candidate]) -> Sequence[Artifact]:
        return [_built(candidate) for candidate in candidates]

    def source(self, candidate: Candidate) -> Source:
        """See `flextune.platforms.base.SourcePlatform`."""
        return Source("Ascend C", source_of(form_of(candidate.workload), candidate.assignment))

    def load(self, artifact: Artifact, device: int = 0) -> Kernel:
        del device  # the emulation is one as good as another
        return AscendKernel(*opened(artifact))

    def estimate(self, work: Work, target: Target, peaks: Peaks | None = None) -> Cost:
        """In cycles: a processor's clock is not known."""
        del peaks
        return Cost(
            compute=work.operations / (_OPERATIONS * target.number("cores")),
            memory=work.bytes / target.number("rate"),
            launch=_START,
            unit=Unit.CYCLES,
            origin=CostOrigin.MODELLED,
        )


def _built(candidate: Candidate) -> Artifact:
    if candidate.trace.steps:
        raise ScheduleError(f"ascend takes no steps, got {candidate.trace.to_json()}")
    return artifact_of(candidate)
