"""Choosing among what a group of a model can be made of, by prediction first and by measurement for what matters."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from flextune.plan.options import GroupOption, GroupOptions
from flextune.platforms.estimator import TargetEstimator
from flextune.trial.decision import AlternativeTime, GroupDecision
from flextune.workload.workload import Workload

WORTH_MEASURING = 2.0
"""An option that is predicted to take so many times as long as the best one is not measured."""

WORTH_SWITCHING = 0.98
"""Another option is chosen when it takes at most so much of the default's time: less could be chance."""

WORTH_TUNING = 1.3
"""An option whose kernels take so many times as long as the best one's gets no more trials."""

MATTERS = 0.003
"""The other options of a group with a smaller part of the model's predicted time are not measured."""

_RUNNER_UP = 0.3
"""The weight of the kernels of an option that is not the best one so far: it may become the best."""


@dataclass(frozen=True, slots=True)
class Circumstances:
    """What decisions were made for: the model's name, the target's key, and in words how times were measured."""

    model: str
    target_key: str
    how: str


@dataclass(frozen=True, slots=True)
class Switching:
    """The groups of a model with those options that deserve measuring, and the predicted seconds of every workload."""

    groups: tuple[GroupOptions, ...]
    """The kinds of groups, with all their options."""
    measured: Mapping[str, tuple[GroupOption, ...]]
    """By kind of group: the options that deserve measuring, the default first."""
    predicted: Mapping[str, float]
    """Seconds by workload key."""
    fixed: Mapping[str, float] = field(default_factory=dict)
    """Workloads outside of any group, with the number of calls."""
    launch_secs: float = 0.0
    """What one more kernel costs beside its own time."""

    @classmethod
    def of(cls, groups: Sequence[GroupOptions], fixed: Mapping[str, float], estimator: TargetEstimator) -> Switching:
        """What is predicted from the operations and bytes of each workload, and what follows for measuring."""
        launch_secs = estimator.launch_secs

        def total(option: GroupOption) -> float:
            return _total(option, predicted, launch_secs)

        workloads = {w.key: w for group in groups for option in group.options for w in option.workloads}
        predicted = {key: estimator.workload_secs(workload) for key, workload in workloads.items()}
        model_secs = sum(group.count * total(group.options[0]) for group in groups)
        measured = {}
        for group in groups:
            matters = group.count * total(group.options[0]) >= MATTERS * model_secs
            limit = WORTH_MEASURING * min(total(option) for option in group.options)
            measured[group.kind] = tuple(
                option
                for number, option in enumerate(group.options)
                if number == 0 or (matters and total(option) <= limit)
            )
        return cls(tuple(groups), measured, predicted, dict(fixed), launch_secs)

    def workloads(self) -> tuple[Workload, ...]:
        """The kernels of all options that are measured, each once; those of default options first."""
        ordered = [
            *(w for group in self.groups for w in group.options[0].workloads),
            *(w for group in self.groups for option in self.measured[group.kind][1:] for w in option.workloads),
        ]
        return tuple({workload.key: workload for workload in ordered}.values())

    def weights(self, secs: Mapping[str, float]) -> dict[str, float]:
        """By how much the model's time shrinks with each workload's: its calls in options that are in the running."""
        found: dict[str, float] = defaultdict(float, self.fixed)
        for group in self.groups:
            times = [(self.option_secs(option, secs), option) for option in self.measured[group.kind]]
            best = min(total for total, _ in times)
            for total, option in times:
                if total <= WORTH_TUNING * best or not math.isfinite(best):
                    weight = 1.0 if total == best else _RUNNER_UP
                    for workload in option.workloads:
                        found[workload.key] += weight * group.count
        return dict(found)

    def choice(self, secs: Mapping[str, float]) -> dict[str, str]:
        """The fastest measured option of every kind of group; the default one among equals."""
        return {group.kind: self._fastest(group, secs).name for group in self.groups}

    def option_secs(self, option: GroupOption, secs: Mapping[str, float]) -> float:
        """Seconds of a group with this option, launches included; infinity where a kernel's time is not known."""
        return _total(option, secs, self.launch_secs)

    def decisions(
        self, secs: Mapping[str, float], choice: Mapping[str, str], about: Circumstances
    ) -> list[GroupDecision]:
        """One record per group that has several options."""
        several = [group for group in self.groups if len(group.options) > 1]
        return [self._decision(group, secs, choice[group.kind], about) for group in several]

    def _decision(
        self, group: GroupOptions, secs: Mapping[str, float], chosen: str, about: Circumstances
    ) -> GroupDecision:
        measured = {option.name: self.option_secs(option, secs) for option in self.measured[group.kind]}
        alternatives = tuple(
            AlternativeTime(
                option.name,
                self.option_secs(option, self.predicted),
                measured[option.name] if math.isfinite(measured.get(option.name, math.inf)) else None,
                tuple(workload.key for workload in option.workloads),
            )
            for option in group.options
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

    def _fastest(self, group: GroupOptions, secs: Mapping[str, float]) -> GroupOption:
        options = self.measured[group.kind]
        times = [self.option_secs(option, secs) for option in options]
        fastest = min(range(len(options)), key=times.__getitem__)
        return options[fastest if times[fastest] < WORTH_SWITCHING * times[0] else 0]


def _total(option: GroupOption, secs: Mapping[str, float], launch_secs: float) -> float:
    return sum(secs.get(workload.key, math.inf) + launch_secs for workload in option.workloads)


def _reason(chosen: str, alternatives: Sequence[AlternativeTime], how: str) -> str:
    times = {each.name: each.measured_secs for each in alternatives if each.measured_secs is not None}
    others = [name for name in times if name != chosen]
    if chosen not in times or not others:
        return "predicted: no other option is worth measuring"
    rival = min(others, key=times.__getitem__)
    return f"{how}: {1e6 * times[chosen]:.1f} us against {1e6 * times[rival]:.1f} us of {rival}"
