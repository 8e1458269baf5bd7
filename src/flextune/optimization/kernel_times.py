"""What a part of a model would take by itself, from the times of the kernels of the whole."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from statistics import mean

from flextune.plan.partition import Partition
from flextune.platforms.estimator import TargetEstimator
from flextune.workload.workload import Workload


@dataclass(frozen=True, slots=True, eq=False)
class KernelTimes:
    """Times of a model's kernels. A part's kernel may be laid out or fused otherwise than the one in the whole.

    Then those of as many operations stand for it, and where there are none its estimate, scaled as the others' are.
    """

    by_key: Mapping[str, float]
    by_flops: Mapping[int, float]
    scale: float
    estimator: TargetEstimator

    @classmethod
    def of(cls, whole: Partition, profile: Mapping[str, float], estimator: TargetEstimator) -> KernelTimes:
        """From seconds of a call of each workload (by key) of the model as it was built."""
        by_flops: dict[int, list[float]] = defaultdict(list)
        measured = predicted = 0.0
        for task in whole.tasks:
            secs = profile.get(task.workload.key)
            if secs is not None:
                by_flops[task.workload.flops].append(secs)
                measured += task.count * secs
                predicted += task.count * estimator.workload_secs(task.workload)
        means = {flops: mean(secs) for flops, secs in by_flops.items() if flops}
        return cls(profile, means, measured / predicted if predicted else 1.0, estimator)

    def secs(self, part: Partition) -> float:
        """Seconds of a run of a part."""
        return sum(task.count * self._call_secs(task.workload) for task in part.tasks)

    def _call_secs(self, workload: Workload) -> float:
        known = self.by_key.get(workload.key, self.by_flops.get(workload.flops))
        return self.scale * self.estimator.workload_secs(workload) if known is None else known
