"""Tuning a model with ranges of sizes: schedules for its groups, then both builds in turns at several sizes."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from flextune.apply.build import Build, Variants, compile_model
from flextune.apply.model_runner import Failure
from flextune.database.database import Database
from flextune.errors import BuildError, FlextuneError
from flextune.importing.model import Model
from flextune.measure.launcher import Interpreter
from flextune.optimization.ab_test import ABTestResult, Limits
from flextune.optimization.contender import Contest, FailedBuild, compare, local_models
from flextune.optimization.symbolic_groups import (
    SymbolicTask,
    group_of,
    recorded_decision,
    symbolic_tasks,
)
from flextune.optimization.verdict import verdict
from flextune.plan.partition import Partition
from flextune.platforms.estimator import TargetEstimator
from flextune.target.target import Target
from flextune.trial.measurement import Status
from flextune.trial.variants_decision import VariantsDecision
from flextune.tuning.tune_options import TuneOptions
from flextune.tuning.variants.points import random_points
from flextune.tuning.variants.study import TUNING
from flextune.tuning.variants.tuned import tune_group
from flextune.workload.dim import Dim

_LEAST_SHARE = 2e-3
"""Of the model's predicted time: smaller groups keep their default schedule."""

_LEAST_GROUP_SECS = 4.0
_TUNING_SHARE = 0.7
"""Of a budget in minutes; the rest is for the builds and their comparison."""

_SIZES_COMPARED = 4
_LEAST_ROUNDS = 5
_COMPARED_SECS = 6.0
"""At each of these combinations of sizes, where it does not become clear before."""

_TOLERATED = 1.01
"""A tuned build may take so many times as long at one combination of sizes: what is less cannot be told from noise."""


@dataclass(frozen=True, slots=True)
class AtSizes:
    """Both builds at one combination of sizes, in seconds, timed in turns."""

    sizes: tuple[tuple[str, int], ...]
    default_secs: float
    tuned_secs: float


@dataclass(frozen=True, slots=True)
class SymbolicResult:
    """The outcome for a model with ranges of sizes."""

    build: Build
    """What to ship."""
    is_tuned: bool
    """Whether that is another build than the one with default schedules."""
    decisions: tuple[VariantsDecision, ...]
    """On its groups, those of earlier runs among them."""
    untuned: Mapping[str, str] = field(default_factory=dict)
    """Groups that keep their default schedule, by name, and why."""
    compared: tuple[AtSizes, ...] = ()
    """The builds in turns."""
    failures: tuple[FailedBuild, ...] = ()
    """Builds that failed."""
    elapsed_secs: float = 0.0
    """Wall time of it all."""


def optimize_symbolic(
    partition: Partition,
    target: Target,
    options: TuneOptions,
    database: Database,
    began: float | None = None,
    interpreter: Interpreter | None = None,
) -> SymbolicResult:
    """Tunes the groups with symbolic sizes within the budget, and builds the model with what was found if it is faster.

    Decisions go to the database as they are made. The build with default schedules ships unless the other one is faster
    on average over several combinations of sizes and slower at none. BuildError where the default build does not
    compile, or computes something else.
    """
    started = time.perf_counter() if began is None else began
    minutes = options.budget.minutes
    ends = math.inf if minutes is None else started + 60 * minutes
    tuning_ends = math.inf if minutes is None else started + _TUNING_SHARE * 60 * minutes
    decisions, untuned = _tuned_groups(partition, target, options, database, tuning_ends)
    chosen: dict[str, Variants] = {name: each.kernels for name, each in decisions.items()}
    found = compared_builds(partition, target, chosen, ends, interpreter)
    result = replace(found, decisions=tuple(decisions.values()), untuned=untuned)
    if found.compared:
        about = verdict(partition, target, _as_one(found), options.peaks, found.failures)
        database.decide([] if about is None else [about])
    return replace(result, elapsed_secs=time.perf_counter() - started)


def compared_builds(
    partition: Partition,
    target: Target,
    variants: Mapping[str, Variants],
    ends: float = math.inf,
    interpreter: Interpreter | None = None,
) -> SymbolicResult:
    """The default build and the one with these variants, checked and timed in turns at several combinations of sizes.

    Without variants it is the default build, untested; also where one of them fails at some sizes, which may be more
    than this machine has memory for. BuildError where the default one computes something else. At least one combination
    is compared; no other begins after `ends`, a moment of `time.perf_counter`.
    """
    default = compile_model(partition, {}, target)
    if not variants:
        return SymbolicResult(default, False, ())
    try:
        tuned = compile_model(partition, {}, target, variants=variants)
    except BuildError as error:
        failed = FailedBuild("as tuned", Failure(Status.BUILD_ERROR, str(error)))
        return SymbolicResult(default, False, (), failures=(failed,))
    compared: list[AtSizes] = []
    for sizes in compared_sizes(partition.model.dims):
        if compared and time.perf_counter() > ends:
            break
        at = replace(partition, model=model_at(partition.model, sizes))
        with local_models(at, target, None, interpreter) as runner:
            contest = Contest(target, runner)
            one, other = contest.admit("with default schedules", default), contest.admit("as tuned", tuned)
            if one is None and contest.failures[0].failure.status is Status.WRONG_OUTPUT:
                raise BuildError(f"the model {contest.failures[0]} at {sizes}")
            if one is None or other is None:
                return SymbolicResult(default, False, (), compared=tuple(compared), failures=contest.failures)
            secs = compare([one, other], Limits(least_rounds=_LEAST_ROUNDS, secs=_COMPARED_SECS)).secs
            if contest.failures:  # while it was timed
                return SymbolicResult(default, False, (), compared=tuple(compared), failures=contest.failures)
        compared.append(AtSizes(tuple(sizes.items()), secs[0], secs[1]))
    is_tuned = _is_faster(compared)
    return SymbolicResult(tuned if is_tuned else default, is_tuned, (), compared=tuple(compared))


def model_at(model: Model, sizes: Mapping[str, int]) -> Model:
    """The model for one combination of sizes: its inputs are of these, its program is what it was."""
    return replace(model, inputs=tuple(spec.bind(sizes) for spec in model.inputs), dims=())


def compared_sizes(dims: Sequence[Dim], count: int = _SIZES_COMPARED, seed: int = 3) -> list[dict[str, int]]:
    """Combinations of sizes to compare builds at: some drawn by weight, the smallest but 0, the largest."""
    drawn = random_points(dims, max(1, count - 2), np.random.default_rng(seed))
    smallest = tuple(next(filter(None, dim.sizes), 0) for dim in dims)
    ends = [smallest, tuple(dim.sizes[-1] for dim in dims)]
    names = [dim.name for dim in dims]
    return [dict(zip(names, point, strict=True)) for point in dict.fromkeys((*drawn, *ends))]


def _is_faster(compared: Sequence[AtSizes]) -> bool:
    ratios = [each.tuned_secs / each.default_secs for each in compared]
    return max(ratios) <= _TOLERATED and statistics.geometric_mean(ratios) < 1.0


def _as_one(found: SymbolicResult) -> ABTestResult:
    """The comparisons at all sizes as one, of geometric means."""
    default, tuned = (
        statistics.geometric_mean(getattr(each, name) for each in found.compared)
        for name in ("default_secs", "tuned_secs")
    )
    return ABTestResult(int(found.is_tuned), (default, tuned), len(found.compared))


def _tuned_groups(
    partition: Partition, target: Target, options: TuneOptions, database: Database, ends: float
) -> tuple[dict[str, VariantsDecision], dict[str, str]]:
    """Decisions by the names of tasks, and why there is none for the others. The largest group is tuned in any case."""
    found: dict[str, VariantsDecision] = {}
    untuned: dict[str, str] = {}
    waiting = []
    for each, share in _by_share(partition, target, options):
        known = recorded_decision(partition, each, database, target) if options.resume else ""
        if isinstance(known, VariantsDecision):
            found[each.task.name] = known
        elif share < _LEAST_SHARE:
            untuned[each.task.name] = f"it takes {share:.1%} of the model"
        else:
            waiting.append((each, share))
    for place, (each, share) in enumerate(waiting):
        left = ends - time.perf_counter()
        if left < _LEAST_GROUP_SECS and place > 0:
            untuned[each.task.name] = "the budget was used up"
            continue
        secs = left if math.isinf(left) else left * share / sum(one for _, one in waiting[place:])
        try:
            decision = tune_group(
                group_of(partition, each, options.seed),
                target,
                TUNING,
                time.perf_counter() + max(secs, _LEAST_GROUP_SECS),
            )
        except FlextuneError as error:
            untuned[each.task.name] = str(error)
            continue
        database.decide([decision])
        found[each.task.name] = decision
    return found, untuned


def _by_share(partition: Partition, target: Target, options: TuneOptions) -> Iterator[tuple[SymbolicTask, float]]:
    """The groups with their parts of the model's predicted time, the largest first."""
    estimator = TargetEstimator(target, options.peaks)
    tasks = symbolic_tasks(partition)
    secs = [each.task.count * estimator.workload_secs(each.task.workload) for each in tasks]
    whole = sum(secs) or 1.0
    order = sorted(range(len(tasks)), key=lambda place: -secs[place])
    return ((tasks[place], secs[place] / whole) for place in order)
