"""What the verbs that take a model share: reading it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from flextune.importing.model import load_model
from flextune.lowering.precision.precision import FLOAT32, Precision
from flextune.plan.partition import Partition, partition_model
from flextune.platforms.estimator import plan_estimator
from flextune.target.target import Target


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
