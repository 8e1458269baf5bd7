"""Tuning a program with symbolic sizes: candidates, times at a few sizes, the fewest that lose little, a check."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import numpy as np

from flextune.errors import FlextuneError, ScheduleError
from flextune.target.kinds import check_models_run
from flextune.target.target import Target
from flextune.trial.measurement import Status
from flextune.trial.variants_decision import Point, VariantsDecision, VariantTimes, Verified
from flextune.tuning.variants.candidates import Proposed, proposals, static_schedules
from flextune.tuning.variants.group_key import group_key
from flextune.tuning.variants.points import Sample
from flextune.tuning.variants.selection import fewest_variants
from flextune.tuning.variants.study import Study, StudyOptions
from flextune.tuning.variants.tile_model import cost_of, predicted, work_counts
from flextune.tvm_types import PrimFunc
from flextune.workload.dim_expr import DimExpr

_PROPOSING = 0.4
"""Of a group's time: longer than this no schedules are looked for, however few have been found."""


@dataclass(frozen=True, slots=True, eq=False)
class Group:
    """A program with symbolic sizes, and the sizes that it is met at."""

    name: str
    """What it computes."""
    function: PrimFunc
    """Without a schedule, called `main`."""
    constants: tuple[int, ...]
    """Positions of the parameters that are known when a model is built."""
    meanings: tuple[str, ...]
    """What each of its symbols is in the model, in the order of the sample's names."""
    ranges: tuple[tuple[int, int], ...]
    """The smallest and largest size of each symbol."""
    sample: Sample
    """Where to measure."""
    others: tuple[Point, ...] = ()
    """Other sizes, to check what was chosen at."""
    model: str = ""
    """The model that it is part of, or its own text."""

    @property
    def key(self) -> str:
        """What its records are filed under."""
        return group_key(self.function, self.constants)

    def sizes(self, point: Point) -> dict[str, int]:
        """By name."""
        return dict(zip(self.sample.names, point, strict=True))


def tune_group(group: Group, target: Target, options: StudyOptions, deadline: float = math.inf) -> VariantsDecision:
    """What to compile the group as. ScheduleError where no schedule can be applied or runs at all of its sizes.

    No measurement begins after the `deadline`, a moment of `time.perf_counter`, but those of the default; a part of the
    time until then is for finding schedules.
    """
    check_models_run(target)
    points = [group.sizes(point) for point in group.sample.points]
    now = time.perf_counter()
    proposed = proposals(group.function, group.constants, points, target, now + _PROPOSING * (deadline - now))
    with Study(group.function, group.constants, target, group.sample, options, deadline) as study:
        study.measure([each.variant for each in proposed])
        works = [each.variant.work(group.function, target.cores) for each in proposed]
        table = _table(study, work_counts(works, group.sample.names, group.sample.points))
        costs = [cost_of(work, own, counts) for work, own, counts in zip(works, *table, strict=True)]
        errors = dict.fromkeys(trial.error for trial in study.trials if trial.error)
        chosen = _chosen(group, proposed, costs, predicted(*table), options, tuple(errors))
        candidates = tuple(
            VariantTimes(trial.variant, cost if trial.status is Status.OK else None, _times(study, number), trial.error)
            for number, (trial, cost) in enumerate(zip(study.trials, costs, strict=True))
        )
        decision = VariantsDecision(
            key=group.key,
            target_key=target.key,
            model=group.model or group.name,
            name=group.name,
            symbols=group.sample.names,
            meanings=group.meanings,
            ranges=group.ranges,
            loss=options.loss,
            candidates=candidates,
            chosen=chosen,
            reason=f"{len(chosen)} of {len(candidates)} schedules lose at most {options.loss:.0%} where measured",
            created=datetime.now(UTC).isoformat(timespec="seconds"),
        )
        return _verified(decision, group, study, target)


def _table(study: Study, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Seconds of the schedules at the points, NaN where they were not measured, infinite for those that failed."""
    secs = np.full(counts.shape, np.nan)
    for own, trial in zip(secs, study.trials, strict=True):
        if trial.status is not Status.OK or not trial.run_secs:
            own[:] = np.inf
            continue
        for place, point in enumerate(study.grid.points):
            if point in trial.run_secs:
                own[place] = study.typical(trial.run_secs[point])
    return secs, counts


def _times(study: Study, number: int) -> tuple[tuple[Point, float], ...]:
    return tuple((point, study.typical(secs)) for point, secs in study.trials[number].run_secs.items())


def _chosen(
    group: Group,
    proposed: Sequence[Proposed],
    costs: Sequence[DimExpr | None],
    secs: np.ndarray,
    options: StudyOptions,
    errors: Sequence[str],
) -> tuple[int, ...]:
    """The fewest schedules that take constants in one form and lose little; of several forms the fastest one.

    What they lose is what a choice by their costs loses.
    """
    best: tuple[float, tuple[int, ...]] | None = None
    weights = group.sample.weights / group.sample.weights.sum()
    for packs in dict.fromkeys(each.packs for each in proposed):
        own = [n for n, each in enumerate(proposed) if each.packs == packs and costs[n] is not None]
        if not own or not np.isfinite(secs[own]).any(axis=0).all():
            continue
        found = tuple(own[place] for place in fewest_variants(secs[own], weights, options.loss, options.most_variants))
        mean = float((weights * np.log(secs[list(found)].min(axis=0))).sum())
        if best is None or mean < best[0]:
            best = mean, found
    if best is None:
        raise ScheduleError(f"no schedule of {group.name} runs at all sizes: {'; '.join(errors)}")
    return best[1]


def _verified(decision: VariantsDecision, group: Group, study: Study, target: Target) -> VariantsDecision:
    """With times at sizes that nothing was chosen by, beside those of schedules made for these sizes alone."""
    found: list[Verified] = []
    for point in group.others:
        if study.is_late:
            break
        number = decision.at(point)
        before = study.secs_at(number, point)
        try:
            static = static_schedules(group.function, group.constants, group.sizes(point), target)
        except FlextuneError:
            continue
        alone = min((study.static_secs(each, point) for each in static), default=math.inf)
        after = study.secs_at(number, point, again=True)
        if not math.isfinite(before) or not math.isfinite(after):
            raise ScheduleError(f"{group.name}: {study.trials[number].error}")
        if math.isfinite(alone):
            found.append(Verified(point, min(before, after), alone, study.secs_at(0, point)))
    return replace(decision, verified=tuple(found))
