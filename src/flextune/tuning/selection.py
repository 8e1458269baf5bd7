"""Selecting what each group of a model is compiled as: by prediction first, by measurement for what matters."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from flextune.plan.alternative import Alternative, Choice
from flextune.plan.group_kernels import GroupKernels
from flextune.platforms.estimator import TargetEstimator
from flextune.trial.decision import AlternativeTime, GroupDecision
from flextune.workload.workload import Workload

WORTH_MEASURING = 2.0
"""An alternative that is predicted to take so many times as long as the best one is not measured."""

WORTH_SWITCHING = 0.98
"""Another alternative is chosen when it takes at most so much of the default's time: less could be chance."""

WORTH_TUNING = 1.3
"""An alternative whose kernels take so many times as long as the best one's gets no more trials."""

MATTERS = 0.003
"""Nothing but the default is measured of a group with a smaller part of the model's predicted time."""

_RUNNER_UP = 0.3
"""The weight of the kernels of an alternative that is not the best one so far: it may become the best."""


@dataclass(frozen=True, slots=True)
class Circumstances:
    """What decisions were made for: the model's name, the target's key, and in words how times were measured."""

    model: str
    target_key: str
    how: str


@dataclass(frozen=True, slots=True)
class Selection:
    """The groups of a model, which of their alternatives deserve measuring, and what kernels are predicted to take."""

    groups: tuple[GroupKernels, ...]
    """The kinds of groups, with the kernels of all their alternatives."""
    measured: Mapping[str, tuple[Alternative, ...]]
    """By kind of group: the alternatives that deserve measuring, the default first."""
    predicted: Mapping[str, float]
    """Seconds by workload key."""
    fixed: Mapping[str, float] = field(default_factory=dict)
    """Workloads outside of any group, with the number of calls."""
    launch_secs: float = 0.0
    """What one more kernel costs beside its own time."""

    @classmethod
    def of(cls, groups: Sequence[GroupKernels], fixed: Mapping[str, float], estimator: TargetEstimator) -> Selection:
        """What is predicted from the operations and bytes of each workload, and what follows for measuring."""
        launch_secs = estimator.launch_secs
        workloads = {w.key: w for group in groups for kernels in group.kernels.values() for w in kernels}
        predicted = {key: estimator.workload_secs(workload) for key, workload in workloads.items()}
        totals = [
            {alternative: _total(kernels, predicted, launch_secs) for alternative, kernels in group.kernels.items()}
            for group in groups
        ]
        model_secs = sum(group.count * secs[group.default] for group, secs in zip(groups, totals, strict=True))
        measured = {}
        for group, secs in zip(groups, totals, strict=True):
            matters = group.count * secs[group.default] >= MATTERS * model_secs
            limit = WORTH_MEASURING * min(secs.values())
            measured[group.kind] = tuple(
                each for each in secs if each == group.default or (matters and secs[each] <= limit)
            )
        return cls(tuple(groups), measured, predicted, dict(fixed), launch_secs)

    def workloads(self) -> tuple[Workload, ...]:
        """The kernels of all alternatives that are measured, each once; those of the defaults first."""
        ordered = [
            *(w for group in self.groups for w in group.kernels[group.default]),
            *(w for group in self.groups for each in self.measured[group.kind][1:] for w in group.kernels[each]),
        ]
        return tuple({workload.key: workload for workload in ordered}.values())

    def weights(self, secs: Mapping[str, float]) -> dict[str, float]:
        """By how much the model's time shrinks with each workload's: its calls in alternatives in the running."""
        found: dict[str, float] = defaultdict(float, self.fixed)
        for group in self.groups:
            totals = self.measured_secs(group, secs)
            best = min(totals.values())
            for alternative, total in totals.items():
                if total <= WORTH_TUNING * best or not math.isfinite(best):
                    weight = 1.0 if total == best else _RUNNER_UP
                    for workload in group.kernels[alternative]:
                        found[workload.key] += weight * group.count
        return dict(found)

    def choice(self, secs: Mapping[str, float]) -> dict[str, Alternative]:
        """The fastest measured alternative of every kind of group; the default among equals."""
        return {group.kind: self._fastest(group, secs) for group in self.groups}

    def measured_secs(self, group: GroupKernels, secs: Mapping[str, float]) -> dict[Alternative, float]:
        """Seconds of a group as each measured alternative, launches included, the default first.

        Infinity where a kernel's time is not known.
        """
        return {each: _total(group.kernels[each], secs, self.launch_secs) for each in self.measured[group.kind]}

    def decisions(self, secs: Mapping[str, float], choice: Choice, about: Circumstances) -> list[GroupDecision]:
        """One record per group that has several alternatives."""
        several = [group for group in self.groups if len(group.kernels) > 1]
        return [self._decision(group, secs, choice[group.kind], about) for group in several]

    def _decision(
        self, group: GroupKernels, secs: Mapping[str, float], chosen: Alternative, about: Circumstances
    ) -> GroupDecision:
        measured = self.measured_secs(group, secs)
        alternatives = tuple(
            AlternativeTime(
                alternative,
                _total(kernels, self.predicted, self.launch_secs),
                measured[alternative] if math.isfinite(measured.get(alternative, math.inf)) else None,
                tuple(workload.key for workload in kernels),
            )
            for alternative, kernels in group.kernels.items()
        )
        return GroupDecision(
            key=group.key,
            target_key=about.target_key,
            operators=group.operators,
            pattern=group.pattern,
            chosen=chosen,
            reason=_reason(chosen, alternatives, about.how),
            alternatives=alternatives,
            model=about.model,
            created=datetime.now(UTC).isoformat(timespec="seconds"),
        )

    def _fastest(self, group: GroupKernels, secs: Mapping[str, float]) -> Alternative:
        totals = self.measured_secs(group, secs)
        fastest = min(totals, key=totals.__getitem__)
        return fastest if totals[fastest] < WORTH_SWITCHING * totals[group.default] else group.default


def _total(kernels: Sequence[Workload], secs: Mapping[str, float], launch_secs: float) -> float:
    return sum(secs.get(workload.key, math.inf) + launch_secs for workload in kernels)


def _reason(chosen: Alternative, alternatives: Sequence[AlternativeTime], how: str) -> str:
    times = {each.alternative: each.measured_secs for each in alternatives if each.measured_secs is not None}
    others = [alternative for alternative in times if alternative != chosen]
    if chosen not in times or not others:
        return "predicted: no other option is worth measuring"
    rival = min(others, key=times.__getitem__)
    return f"{how}: {1e6 * times[chosen]:.1f} us against {1e6 * times[rival]:.1f} us of {rival}"
