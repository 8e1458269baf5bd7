"""What the verbs that take a model share: reading it, its recorded schedules, and latencies side by side."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from flextune.apply.build import Build, compile_model
from flextune.apply.executable import Executable
from flextune.csp.assignment import Assignment
from flextune.database.base import Database
from flextune.graph.model import load_model
from flextune.graph.partition import Partition, partition_model
from flextune.schedule.trace import Trace
from flextune.target.target import Target
from flextune.trial.record import TuningRecord
from flextune.tune.evidence import best_record

_ROUNDS = 7


def read_partition(path: Path, shapes: Mapping[str, tuple[int, ...]]) -> Partition:
    """The model file, lowered and split into tasks. Raises `ModelError`."""
    return partition_model(load_model(path, shapes))


def best_records(partition: Partition, database: Database, target: Target) -> dict[str, TuningRecord]:
    """The best record of each task that has one, by workload key."""
    keys = [task.workload.key for task in partition.tasks]
    found = {key: best_record(database.records(key, target.key)) for key in keys}
    return {key: record for key, record in found.items() if record is not None}


def build_with(partition: Partition, records: Mapping[str, TuningRecord], target: Target) -> Build:
    """The model built with these records; tasks without one get their default schedule."""
    schedules = {
        key: (Trace.from_json(record.trace), Assignment.parse(record.assignment)) for key, record in records.items()
    }
    return compile_model(partition, schedules, target)


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

    @property
    def faster_secs(self) -> float:
        return min(self.tuned_secs, self.default_secs)


def compare_builds(partition: Partition, records: Mapping[str, TuningRecord], target: Target) -> Comparison:
    """Times the whole model both ways, in turns: its parts were tuned one by one, with warm caches."""
    default = build_with(partition, {}, target)
    if not records:
        (secs,) = latencies([default.executable])
        return Comparison(default, default, secs, secs)
    tuned = build_with(partition, records, target)
    return Comparison(default, tuned, *latencies([default.executable, tuned.executable]))


def latencies(executables: Sequence[Executable]) -> tuple[float, ...]:
    """Median seconds of one run of each, timed in turns so that disturbances meet all of them alike."""
    inputs = executables[0].random_inputs(0)
    times: list[list[float]] = [[] for _ in executables]
    for _ in range(_ROUNDS):
        for index, executable in enumerate(executables):
            times[index] += executable.benchmark(inputs, min_runs=5, min_secs=0.1, warmup=1).run_secs
    return tuple(map(statistics.median, times))
