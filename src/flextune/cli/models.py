"""What the verbs that take a model share: reading it, and the build to ship."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from flextune.apply.build import Build, Schedule, compile_model
from flextune.importing.model import load_model
from flextune.lowering.precision.precision import FLOAT32, Precision
from flextune.optimization.in_turns import Limits
from flextune.optimization.model import compare
from flextune.plan.partition import Partition, partition_model
from flextune.platforms.estimator import plan_estimator
from flextune.target.target import Target
from flextune.trial.decision import Shipped

_COMPARED_SECS = 5.0


def read_partition(
    path: Path,
    shapes: Mapping[str, tuple[int, ...]],
    target: Target,
    without: Sequence[str] = (),
    precision: Precision = FLOAT32,
) -> Partition:
    """The model file, lowered, fused for the target and split into tasks.

    Raises `ModelError`; UsageError for an unknown pass.
    """
    from flextune.plan.fusion.switcher import check_passes

    check_passes(without)
    return partition_model(load_model(path, shapes), without, precision, plan_estimator(target))


def build_to_ship(
    partition: Partition, decided: Partition, schedules: Mapping[str, Schedule], target: Target, known: Shipped | None
) -> Build:
    """The model as the records decided and scheduled it, if that is known to be faster than with default schedules.

    A model is never slower for having been tuned. `known` is what tuning it came to; where it never was tuned as a
    whole (its records come from other models or machines), both builds are compared now.
    """
    if known is Shipped.DEFAULT:
        return compile_model(partition, {}, target)
    tuned = compile_model(decided, schedules, target)
    if known is Shipped.TUNED:
        return tuned
    default = compile_model(partition, {}, target)
    found = compare([default.executable, tuned.executable], Limits(secs=_COMPARED_SECS))
    return tuned if found.chosen else default
