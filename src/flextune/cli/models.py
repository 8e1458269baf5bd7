"""What the verbs that take a model share: reading it, and the build to ship."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from flextune.apply.build import Build, Schedule, compile_model
from flextune.graph.model import load_model
from flextune.graph.partition import Partition, partition_model
from flextune.graph.precision.precision import FLOAT32, Precision
from flextune.optimize.model import latencies
from flextune.target.target import Target


def read_partition(
    path: Path, shapes: Mapping[str, tuple[int, ...]], without: Sequence[str] = (), precision: Precision = FLOAT32
) -> Partition:
    """The model file, lowered, fused and split into tasks. Raises `ModelError`; UsageError for an unknown pass."""
    from flextune.graph.fusion.switcher import check_passes

    check_passes(without)
    return partition_model(load_model(path, shapes), without, precision)


@dataclass(frozen=True, slots=True)
class Comparison:
    """A model built with default and with recorded schedules, and the seconds of one run of each."""

    default: Build
    tuned: Build
    default_secs: float
    tuned_secs: float

    @property
    def faster(self) -> Build:
        """What to ship: a model is never slower for having been tuned."""
        return self.tuned if self.tuned_secs <= self.default_secs else self.default


def compare_builds(
    partition: Partition, decided: Partition, schedules: Mapping[str, Schedule], target: Target
) -> Comparison:
    """Times the whole model in turns: with default schedules, and as the records decided and scheduled it."""
    default, tuned = compile_model(partition, {}, target), compile_model(decided, schedules, target)
    return Comparison(default, tuned, *latencies([default.executable, tuned.executable]))
