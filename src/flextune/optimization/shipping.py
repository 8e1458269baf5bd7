"""What a model is shipped as: one decision for the command line, `torch.compile` and the Python interface."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass

from flextune.apply.build import Build, Schedule, compile_model
from flextune.apply.model_runner import ModelRunner
from flextune.database.database import Database
from flextune.measure.launcher import Interpreter
from flextune.optimization.ab_test import Limits
from flextune.optimization.contender import Contest, compare, local_models
from flextune.optimization.model import OptimizedModel, optimize_model
from flextune.optimization.recorded import from_records
from flextune.optimization.symbolic import compared_builds
from flextune.optimization.symbolic_groups import recorded_variants
from flextune.optimization.verdict import recorded_verdict
from flextune.plan.partition import Partition
from flextune.target.detect import detect
from flextune.target.target import Target
from flextune.trial.decision import Shipped
from flextune.tuning.events import Callback
from flextune.tuning.tune_options import TuneOptions

_COMPARED_SECS = 5.0


@dataclass(frozen=True, slots=True)
class Shipment:
    """A model built as it is to be used."""

    build: Build
    shipped: Shipped
    """Whether it is as the records say, or with default schedules."""
    reason: str
    recorded: int
    """Kernels of which there are records for this target, used or not."""


def ship(
    partition: Partition, target: Target, database: Database | None, models: ModelRunner | None = None
) -> Shipment:
    """The model as the records decided and scheduled it, if that is known to be faster than with default schedules.

    A model is never slower for having been tuned. What tuning it as a whole came to is followed. Where it never was
    (its records come from other models or machines), both builds are checked and compared now by `models` (processes
    of this machine, by default); for a target that is not this machine the records are followed.
    """
    if partition.model.dims:
        return _symbolic(partition, target, database)
    decided, schedules = (partition, {}) if database is None else from_records(partition, database, target)
    if decided is partition and not schedules:
        return _by_default(partition, target, 0, "no records of it")
    known = None if database is None else recorded_verdict(partition, database, target)
    if known is Shipped.DEFAULT:
        return _by_default(partition, target, len(schedules), "tuning it found nothing that is faster")
    if known is Shipped.TUNED:
        return _tuned(decided, schedules, target, "tuning it found this to be faster")
    if target.key != detect().key:
        return _tuned(decided, schedules, target, "as recorded; not compared, since this is another machine")
    with local_models(partition, target) if models is None else nullcontext(models) as runner:
        return _compared(partition, decided, schedules, Contest(target, runner))


def optimize_and_ship(
    partition: Partition,
    target: Target,
    options: TuneOptions,
    database: Database,
    callbacks: Sequence[Callback] = (),
    began: float | None = None,
    models: ModelRunner | None = None,
    interpreter: Interpreter | None = None,
) -> tuple[OptimizedModel, Shipment | None]:
    """Tunes a model (see `optimize_model`) and gives what to ship; None where the run was interrupted.

    It is what `ship` makes of the records afterwards, without building it once more.
    """
    tuned = optimize_model(partition, target, options, database, callbacks, began, models, interpreter=interpreter)
    if tuned.interrupted:
        return tuned, None
    if tuned.build is None:  # it has no kernel that could be tuned
        return tuned, ship(partition, target, database)
    recorded = sum(task.trials > 0 for task in tuned.tasks.tasks)
    shipped = Shipped.TUNED if tuned.is_tuned else Shipped.DEFAULT
    reason = "shown to be faster" if tuned.is_tuned else "nothing was shown to be faster"
    return tuned, Shipment(tuned.build, shipped, reason, recorded)


def _symbolic(partition: Partition, target: Target, database: Database | None) -> Shipment:
    """As `ship`, of a model with ranges of sizes, whose groups have several schedules."""
    chosen, reasons = ({}, {}) if database is None else recorded_variants(partition, database, target)
    if not chosen:
        return _by_default(partition, target, 0, "; ".join(dict.fromkeys(reasons.values())) or "no records of it")
    known = None if database is None else recorded_verdict(partition, database, target)
    if known is Shipped.DEFAULT:
        return _by_default(partition, target, len(chosen), "tuning it found nothing that is faster")
    if known is Shipped.TUNED or target.key != detect().key:
        reason = "tuning it found this to be faster" if known else "as recorded; not compared on this machine"
        build = compile_model(partition, {}, target, variants=chosen)
        return Shipment(build, Shipped.TUNED, reason, len(chosen))
    found = compared_builds(partition, target, chosen, time.perf_counter() + _COMPARED_SECS)
    if not found.is_tuned:
        why = next(map(str, found.failures), "the records were not shown to be faster just now")
        return Shipment(found.build, Shipped.DEFAULT, why, len(chosen))
    return Shipment(found.build, Shipped.TUNED, "shown to be faster just now", len(chosen))


def _by_default(partition: Partition, target: Target, recorded: int, reason: str) -> Shipment:
    return Shipment(compile_model(partition, {}, target), Shipped.DEFAULT, reason, recorded)


def _tuned(partition: Partition, schedules: Mapping[str, Schedule], target: Target, reason: str) -> Shipment:
    return Shipment(compile_model(partition, schedules, target), Shipped.TUNED, reason, len(schedules))


def _compared(
    partition: Partition, decided: Partition, schedules: Mapping[str, Schedule], contest: Contest
) -> Shipment:
    default = contest.first(partition)
    tuned = contest.enter("as recorded", decided, schedules)
    if tuned is None:
        return Shipment(default.build, Shipped.DEFAULT, str(contest.failures[0]), len(schedules))
    found = compare([default, tuned], Limits(secs=_COMPARED_SECS))
    if not found.chosen:
        why = str(contest.failures[0]) if tuned.failed else "the records were not shown to be faster just now"
        return Shipment(default.build, Shipped.DEFAULT, why, len(schedules))
    return Shipment(tuned.build, Shipped.TUNED, "shown to be faster just now", len(schedules))
