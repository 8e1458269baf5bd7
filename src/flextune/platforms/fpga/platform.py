"""The FPGA platform: an overlay in Verilog, and schedules for it, executed by Verilator's simulation of it."""

from __future__ import annotations

from collections.abc import Sequence

from flextune.errors import ScheduleError
from flextune.platforms.base import Kernel, Source
from flextune.platforms.fpga.artifact import artifact_of, opened
from flextune.platforms.fpga.kernel import FpgaKernel
from flextune.platforms.fpga.listing import listing_of
from flextune.platforms.fpga.space import SIDES, fpga_space, schedule_of, sizes_of
from flextune.platforms.fpga.verilator import program_of
from flextune.schedule.space import SearchSpace
from flextune.target.peaks import Peaks
from flextune.target.target import Target
from flextune.trial.artifact import Artifact
from flextune.trial.cost import Cost, CostOrigin, Unit
from flextune.trial.measurement import Candidate
from flextune.workload.work import Work
from flextune.workload.workload import Workload


class FpgaPlatform:
    """See `flextune.platforms.base.Platform`. Traces have no steps: the assignment says all, the hardware too."""

    name = "fpga"

    def search_space(self, workload: Workload, target: Target) -> SearchSpace:
        return fpga_space(workload, target)

    def build(self, candidates: Sequence[Candidate]) -> Sequence[Artifact]:
        """Simulators of overlays that are not there yet take seconds each."""
        for candidate in candidates:
            if candidate.trace.steps:
                raise ScheduleError(f"fpga takes no steps, got {candidate.trace.to_json()}")
            program_of(schedule_of(sizes_of(candidate.workload), candidate.assignment).overlay)
        return [artifact_of(candidate) for candidate in candidates]

    def source(self, candidate: Candidate) -> Source:
        """See `flextune.platforms.base.SourcePlatform`."""
        return Source("Verilog", listing_of(schedule_of(sizes_of(candidate.workload), candidate.assignment)))

    def load(self, artifact: Artifact, device: int = 0) -> Kernel:
        del device
        workload, target, schedule = opened(artifact)
        return FpgaKernel(workload, schedule, target.number("latency"))

    def estimate(self, work: Work, target: Target, peaks: Peaks | None = None) -> Cost:
        """In cycles of the largest overlay: how fast a clock is, no tool here says."""
        del peaks
        elements = min(max(SIDES) ** 2, target.number("dsp"))
        return Cost(
            compute=work.operations / (2 * elements),
            memory=work.bytes / target.number("bus"),
            launch=float(target.number("latency")),
            unit=Unit.CYCLES,
            origin=CostOrigin.MODELLED,
        )
