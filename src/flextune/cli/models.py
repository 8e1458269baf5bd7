"""What the verbs that take a model share: reading it, and the build to ship."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from flextune.apply.build import Build, Schedule, compile_model
from flextune.graph.model import load_model
from flextune.graph.partition import Partition, partition_model
from flextune.graph.precision.precision import FLOAT32, Precision
from flextune.optimize.in_turns import Limits
from flextune.optimize.model import compare
from flextune.target.target import Target

_COMPARED_SECS = 5.0


def read_partition(
    path: Path, shapes: Mapping[str, tuple[int, ...]], without: Sequence[str] = (), precision: Precision = FLOAT32
) -> Partition:
    """The model file, lowered, fused and split into tasks. Raises `ModelError`; UsageError for an unknown pass."""
    from flextune.graph.fusion.switcher import check_passes

    check_passes(without)
    return partition_model(load_model(path, shapes), without, precision)


def faster_build(partition: Partition, decided: Partition, schedules: Mapping[str, Schedule], target: Target) -> Build:
    """The model as the records decided and scheduled it, if it is shown to be faster than with default schedules.

    A model is never slower for having been tuned, so else it is the one with default schedules.
    """
    builds = compile_model(partition, {}, target), compile_model(decided, schedules, target)
    return builds[compare([build.executable for build in builds], Limits(secs=_COMPARED_SECS)).chosen]
