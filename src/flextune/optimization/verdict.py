"""What tuning a model came to as a whole, kept so that building it again needs no other comparison."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from flextune.database.database import Database
from flextune.optimization.ab_test import ABTestResult
from flextune.optimization.contender import FailedBuild
from flextune.optimization.layouts import plan_key
from flextune.plan.partition import Partition
from flextune.platforms.estimator import TargetEstimator
from flextune.target.peaks import Peaks
from flextune.target.target import Target
from flextune.trial.decision import Shipped, Verdict


def verdict(
    partition: Partition,
    target: Target,
    found: ABTestResult,
    peaks: Peaks | None,
    failures: Sequence[FailedBuild] = (),
    joules: Callable[[int], float | None] = lambda _: None,
) -> Verdict | None:
    """Which build of a model to ship, from the default one and others that took turns with it, in this order.

    `failures` are builds that are out of the running, `joules` is the energy of a run of the build with this number.
    None for a model that branches, which has no plan to know it by,
    and where the default build failed while it was timed, so that there is nothing to be faster than.
    """
    key = _key(partition)
    if key is None or not math.isfinite(found.secs[0]):
        return None
    sound = [secs for secs in found.secs[1:] if math.isfinite(secs)]
    tuned_secs = found.secs[found.chosen] if found.chosen else min(sound, default=None)
    tuned = found.secs.index(tuned_secs, 1) if tuned_secs is not None else None
    estimator = TargetEstimator(target, peaks)
    predicted = sum(task.count * estimator.workload_secs(task.workload) for task in partition.tasks)
    return Verdict(
        key=key,
        target_key=target.key,
        model=partition.model.name,
        shipped=Shipped.TUNED if found.chosen else Shipped.DEFAULT,
        kernels=len(partition.tasks),
        predicted_secs=predicted,
        default_secs=found.secs[0],
        tuned_secs=tuned_secs,
        default_joules=joules(0),
        tuned_joules=None if tuned is None else joules(tuned),
        reason=_reason(found, tuned_secs),
        failures=tuple(map(str, failures)),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def recorded_verdict(partition: Partition, database: Database, target: Target) -> Shipped | None:
    """What to ship, as the latest run that tuned this very model found; None where none has."""
    key = _key(partition)
    found = None if key is None else database.decision(Verdict, target.key, key)
    return None if found is None else found.shipped


def _key(partition: Partition) -> str | None:
    """Equal for equal plans by default in NHWC, computed in the same precision."""
    plain = partition.by_default().switcher
    if plain is None:
        return None
    text = f"model {plan_key(plain.plan)} {partition.precision}"
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _reason(found: ABTestResult, tuned_secs: float | None) -> str:
    if tuned_secs is None:
        return "no other build was made"
    times = f"{1e3 * found.secs[0]:.3f} ms by default, {1e3 * tuned_secs:.3f} ms tuned, {found.rounds} rounds in turns"
    return times if found.chosen else f"not shown to be faster: {times}"
