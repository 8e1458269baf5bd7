"""Which layouts a model is shipped in: proposed by predicted cost, decided by builds of the model that take turns."""

from __future__ import annotations

import hashlib
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from flextune.database.database import Database
from flextune.lowering.layout import NCHW, NHWC, Layout, blocked
from flextune.lowering.operator_graph import leaves
from flextune.optimization.contender import Contender, Contest
from flextune.optimization.layout_costs import LayoutCosts
from flextune.optimization.profile import interleaved_profile
from flextune.plan.fusion.plan import FusionPlan
from flextune.plan.group_kernels import default_workloads
from flextune.plan.layouts.layout_assignment import ALL_NHWC, LayoutAssignment, LayoutPair
from flextune.plan.layouts.layout_problem import LayoutProblem
from flextune.plan.layouts.rewriting import with_layouts
from flextune.plan.partition import Partition
from flextune.plan.pass_list import LAYOUTS
from flextune.platforms.estimator import TargetEstimator
from flextune.target.peaks import Peaks
from flextune.target.target import Target
from flextune.trial.decision import LayoutDecision, LayoutTime
from flextune.workload.workload import Workload

WORTH_BUILDING = 0.998
"""Layouts are tried in a build of the model when they are predicted to take at most so much of NHWC's time."""

WORTH_CHANGING = 0.98
"""Other layouts are chosen when the kernels that differ take at most so much of their time in NHWC."""

_ROUNDS, _RUNS = 4, 2


@dataclass(frozen=True, slots=True, eq=False)
class LayoutChoice:
    """The model in the layouts to ship it in, its build with default schedules, and what was decided, if anything."""

    partition: Partition
    contender: Contender
    decision: LayoutDecision | None = None


@dataclass(frozen=True, slots=True, eq=False)
class _Trial:
    """The model built in some layouts."""

    layouts: LayoutAssignment
    """Those that are tried."""
    partition: Partition
    """The model split into tasks in these layouts."""
    contender: Contender
    """Its build."""
    plan: FusionPlan
    """What is fused there by default."""
    workloads: tuple[tuple[Workload, ...], ...]
    """Those of the plan's groups, by place."""

    @classmethod
    def of(cls, layouts: LayoutAssignment, partition: Partition, contender: Contender) -> _Trial:
        plain = partition.by_default()
        assert plain.switcher is not None
        return cls(layouts, partition, contender, plain.switcher.plan, default_workloads(plain))


def choose_layouts(
    partition: Partition, default: Contender, contest: Contest, peaks: Peaks | None, deadline: float
) -> LayoutChoice:
    """The layouts of a model; `default` is its build in NHWC with default schedules, which all others must beat.

    The assignment of least predicted cost is built if it promises to be faster. From the time of every group in both
    builds follows a third one, of the faster layout for each group and with conversions where they differ. No build
    is begun that `deadline` (of `time.perf_counter`) leaves no time for; one that fails is out of the running.
    """
    target = contest.target
    layouts, estimator = layouts_of(target), TargetEstimator(target, peaks)
    problem = layout_problem(partition, layouts)
    if problem is None or time.perf_counter() > deadline:
        return LayoutChoice(partition, default)
    began = time.perf_counter()
    trials = [_Trial.of(ALL_NHWC, partition, default)]
    predicted = LayoutCosts.predicted(problem.plan, trials[0].workloads, estimator, layouts)
    proposed = problem.cheapest(predicted.group, predicted.conversion)
    if not proposed or not _promises(problem, proposed, predicted, trials):
        return LayoutChoice(partition, default, _decision(partition, target, problem, predicted, trials, (), 0))
    if not _enter(contest, trials, proposed):
        return LayoutChoice(partition, default)
    profiles = _profiles(trials, deadline)
    if 2 * time.perf_counter() - began < deadline:
        measured = _measured(problem, predicted, trials, profiles)
        mixed = _mixture(problem, measured)
        if mixed is not None and _promises(problem, mixed, measured, trials):
            _enter(contest, trials, mixed)
            profiles = _profiles(trials, deadline)
    trials, profiles = _sound(trials, profiles)
    secs = _model_secs(trials, profiles, estimator.launch_secs)
    chosen = _fastest(secs)
    decision = _decision(partition, target, problem, predicted, trials, [each.total for each in secs], chosen)
    for number, trial in enumerate(trials[1:], 1):
        if number != chosen:
            contest.dismiss(trial.contender)
    return LayoutChoice(trials[chosen].partition, trials[chosen].contender, decision)


def layouts_of(target: Target) -> tuple[Layout, ...]:
    """The layouts that are tried on a target: both plain ones, and blocks of one vector and of two."""
    lanes = target.vector_lanes(32)
    return NHWC, NCHW, blocked(lanes), blocked(2 * lanes)


def layout_problem(partition: Partition, layouts: Sequence[Layout]) -> LayoutProblem | None:
    """What there is to choose; None where nothing is, where the choice is switched off, and for bfloat16 models."""
    if partition.switcher is None or not partition.precision.is_float32 or LAYOUTS in partition.without:
        return None
    problem = LayoutProblem.of(partition.switcher.by_default.plan, layouts)
    return problem if any(len(choice.pairs) > 1 for choice in problem.choices) else None


def recorded_layouts(partition: Partition, database: Database, target: Target) -> LayoutAssignment | None:
    """What the records decided for this model; None where they say nothing, or nothing that fits its plan."""
    problem = layout_problem(partition, (NHWC, NCHW))
    if problem is None:
        return None
    decision = database.decision(LayoutDecision, target.key, plan_key(problem.plan))
    if decision is None or not LayoutProblem.of(problem.plan, decision.chosen.layouts).allows(decision.chosen):
        return None
    return decision.chosen


def plan_key(plan: FusionPlan) -> str:
    """Equal for models of equal operators, shapes and groups."""
    operators = [
        (each.name, each.inputs, each.shape, each.dtype, [str(leaf.ty) for leaf in leaves(each.value)])
        for each in plan.graph.operators
    ]
    text = repr((operators, [group.operators for group in plan.groups]))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _enter(contest: Contest, trials: list[_Trial], layouts: LayoutAssignment) -> bool:
    """Add the model built in these layouts to the trials, the first of which is in NHWC; whether that went well."""
    laid_out = trials[0].partition.laid_out(layouts)
    contender = contest.enter(f"in layouts {layouts}", laid_out, {})
    if contender is not None:
        trials.append(_Trial.of(layouts, laid_out, contender))
    return contender is not None


def _sound(
    trials: Sequence[_Trial], profiles: Sequence[dict[str, float]]
) -> tuple[list[_Trial], list[dict[str, float]]]:
    """Without those that failed while they were timed."""
    kept = [pair for pair in zip(trials, profiles, strict=True) if not pair[0].contender.failed]
    return [trial for trial, _ in kept], [profile for _, profile in kept]


def _promises(problem: LayoutProblem, layouts: LayoutAssignment, costs: LayoutCosts, trials: Sequence[_Trial]) -> bool:
    """Whether these layouts are predicted to beat those that were tried."""
    fixed = sum(costs.nhwc_secs) - sum(costs.nhwc_secs[choice.place] for choice in problem.choices)
    known = min(problem.secs(trial.layouts, costs.group, costs.conversion) for trial in trials)
    return fixed + problem.secs(layouts, costs.group, costs.conversion) <= WORTH_BUILDING * (fixed + known)


def _profiles(trials: Sequence[_Trial], deadline: float) -> list[dict[str, float]]:
    return interleaved_profile([trial.contender for trial in trials], _ROUNDS, _RUNS, deadline)


@dataclass(frozen=True, slots=True)
class _Seconds:
    """Of the kernels of a build: calls that only this build, or only the one in NHWC, has, and the others."""

    different: float
    in_nhwc: float
    common: float

    @property
    def total(self) -> float:
        return self.different + self.common


def _model_secs(
    trials: Sequence[_Trial], profiles: Sequence[Mapping[str, float]], launch_secs: float
) -> list[_Seconds]:
    """The seconds of each build. A kernel that it shares with the first build takes equally long in both.

    That, and taking kernels instead of runs, makes the comparison steady: a disturbance meets few kernels, and no
    kernel is different in two builds by chance.
    """
    calls = [_calls(trial, profile) for trial, profile in zip(trials, profiles, strict=True)]
    return [_seconds(calls[0], mine, profiles[0], own, launch_secs) for mine, own in zip(calls, profiles, strict=True)]


def _calls(trial: _Trial, profile: Mapping[str, float]) -> Counter[str]:
    """How often each kernel is called that was timed."""
    return Counter({t.workload.key: t.count for t in trial.partition.tasks if t.workload.key in profile})


def _seconds(
    first: Counter[str],
    mine: Counter[str],
    first_secs: Mapping[str, float],
    own_secs: Mapping[str, float],
    launch_secs: float,
) -> _Seconds:
    def total(calls: Counter[str]) -> float:
        return sum(count * (first_secs.get(key, own_secs.get(key, 0.0)) + launch_secs) for key, count in calls.items())

    return _Seconds(total(mine - first), total(first - mine), total(first & mine))


def _fastest(secs: Sequence[_Seconds]) -> int:
    """The place of the fastest build; 0, which is NHWC, where no other is faster beyond chance."""
    fastest = min(range(len(secs)), key=lambda place: secs[place].total)
    return fastest if secs[fastest].different <= WORTH_CHANGING * secs[fastest].in_nhwc else 0


def _measured(
    problem: LayoutProblem, costs: LayoutCosts, trials: Sequence[_Trial], profiles: Sequence[Mapping[str, float]]
) -> LayoutCosts:
    """The costs with the seconds of every group in the builds that were made.

    A convolution that reads in the layout of one build and writes in that of another counts as the slower of both.
    """
    measured: dict[tuple[int, LayoutPair], float] = {}
    for trial, profile in zip(trials, profiles, strict=True):
        secs = _group_secs(problem.plan, trial, profile)
        measured |= {(each.place, trial.layouts.of_group(each.place)): secs[each.place] for each in problem.choices}
    for choice in problem.choices:
        of_group = [trial.layouts.of_group(choice.place) for trial in trials]
        slower = max(measured[choice.place, pair] for pair in of_group)
        for pair in {LayoutPair(one.data, other.result) for one in of_group for other in of_group} - set(of_group):
            measured[choice.place, pair] = slower
    return costs.with_measured(measured)


def _group_secs(plan: FusionPlan, trial: _Trial, profile: Mapping[str, float]) -> list[float]:
    """Seconds of every group of the plan in NHWC, as it is in a build; nothing for what is in place or a view."""
    secs = [sum(profile.get(w.key, 0.0) for w in workloads) for workloads in trial.workloads]
    if not trial.layouts:
        return secs
    place = {index: number for number, group in enumerate(trial.plan.groups) for index in group.operators}
    results = with_layouts(plan, trial.layouts).results
    return [secs[place[result]] if result in place else 0.0 for result in results]


def _mixture(problem: LayoutProblem, costs: LayoutCosts) -> LayoutAssignment | None:
    """The cheapest assignment of layouts whose times are known."""
    known = {
        choice.place: [pair for pair in choice.pairs if (choice.place, pair) in costs.measured]
        for choice in problem.choices
    }
    return problem.restricted(known).cheapest(costs.group, costs.conversion)


def _decision(
    partition: Partition,
    target: Target,
    problem: LayoutProblem,
    predicted: LayoutCosts,
    trials: Sequence[_Trial],
    secs: Sequence[float],
    chosen: int,
) -> LayoutDecision:
    plan = problem.plan
    fixed = sum(predicted.nhwc_secs) - sum(predicted.nhwc_secs[each.place] for each in problem.choices)
    tried = tuple(
        LayoutTime(
            trial.layouts,
            fixed + problem.secs(trial.layouts, predicted.group, predicted.conversion),
            secs[number] if secs else None,
        )
        for number, trial in enumerate(trials)
    )
    return LayoutDecision(
        key=plan_key(plan),
        target_key=target.key,
        groups=len(plan.groups),
        free_groups=len(problem.choices),
        chosen=tried[chosen].layouts,
        reason=_reason(tried, chosen),
        tried=tried,
        model=partition.model.name,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def _reason(tried: Sequence[LayoutTime], chosen: int) -> str:
    if tried[chosen].measured_secs is None or len(tried) == 1:
        return "predicted: no other layouts are worth a build"
    times = [1e3 * (each.measured_secs or 0.0) for each in tried]
    others = [time for number, time in enumerate(times) if number != chosen]
    return f"the kernels in the model: {times[chosen]:.2f} ms against {min(others):.2f} ms"
