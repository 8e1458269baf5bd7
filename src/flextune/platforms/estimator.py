"""How long programs take on a target, as its platform estimates it: the one answer that everybody asks for."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from flextune.errors import EnvironmentFault
from flextune.platforms import platform_registry
from flextune.target.detect import detect
from flextune.target.peaks import Peaks
from flextune.target.target import Target, example_device
from flextune.trial.cost import Cost
from flextune.workload.work import Work
from flextune.workload.workload import Workload


@dataclass(frozen=True, slots=True)
class TargetEstimator:
    """Estimates for one target, from its measured peaks where these are known."""

    target: Target
    peaks: Peaks | None = None

    def cost(self, work: Work) -> Cost:
        return platform_registry.get(self.target.kind).estimate(work, self.target, self.peaks)

    def secs(self, work: Work) -> float:
        """Seconds of one kernel, its launch included."""
        return self.cost(work).total

    def workload_secs(self, workload: Workload) -> float:
        """Seconds of a workload whose operands come from memory."""
        return self.secs(Work.of(workload))

    @property
    def launch_secs(self) -> float:
        """What one more kernel costs beside its own time."""
        return self.cost(Work()).launch


def plan_estimator(target: Target) -> TargetEstimator:
    """What fusion plans ask: one core, and no measured peaks.

    So a plan, and with it the kernels that records are of, depends neither on how many cores a host has nor on how
    quiet it was when it was measured.
    """
    has_cores = any(key == "cores" for key, _ in target.attributes)
    values = dict(target.attributes)
    return TargetEstimator(Target.of(target.kind, **(values | {"cores": 1} if has_cores else values)))


@cache
def host_plan_estimator() -> TargetEstimator:
    """`plan_estimator` of this machine; of a typical target where this machine is none."""
    try:
        return plan_estimator(detect())
    except EnvironmentFault:
        return plan_estimator(Target.parse(example_device()))
