"""One task as its records tell it: every trial in order, the best so far, failures by cause, and what mattered."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from flextune.report.comparison import Comparison, compare
from flextune.report.importance import Importance, importances
from flextune.trial.cause import failure_text
from flextune.trial.record import Evidence, TuningRecord

_STILL_IMPROVING = 0.2
"""A task still improves when its best came in so much of its trials at the end."""


@dataclass(frozen=True, slots=True)
class TrialPoint:
    """One trial in the course of a search."""

    number: int
    """From 1 on."""
    spent_secs: float
    """Of all trials up to this one, building included."""
    record: TuningRecord
    """What came of it."""
    improves: bool
    """Whether it is the best so far."""


@dataclass(frozen=True, slots=True)
class Failure:
    """What failed in one way."""

    cause: str
    count: int
    """Candidates."""
    example: TuningRecord
    """The first of them."""


@dataclass(frozen=True, slots=True)
class TaskHistory:
    """A workload on a target."""

    name: str
    """Which a person knows."""
    records: tuple[TuningRecord, ...]
    """All of them, in order; at least one."""
    points: tuple[TrialPoint, ...]
    """The trials among them."""
    comparison: Comparison
    failures: tuple[Failure, ...]
    """Most frequent first; the latest record of a candidate counts."""
    importances: tuple[Importance, ...]
    """Most important first."""
    candidates: int
    """Different ones that were tried."""
    values_seen: int
    """Different values of all variables together."""

    @classmethod
    def of(cls, records: Sequence[TuningRecord]) -> TaskHistory:
        """From all records of one workload on one target, in order."""
        latest = {record.key: record for record in records}
        ran = [record for record in latest.values() if record.measurement.ok and record.secs > 0]
        names = tuple(records[0].assigned)
        alike = [record for record in ran if tuple(record.assigned) == names and record.trace == records[0].trace]
        rows = [[record.assigned[name] for name in names] for record in alike]
        return cls(
            name=records[0].name,
            records=tuple(records),
            points=tuple(_points(records)),
            comparison=compare(records),
            failures=_failures(latest),
            importances=tuple(importances(names, rows, [record.secs for record in alike])),
            candidates=len(latest),
            values_seen=len({pair for record in latest.values() for pair in record.assigned.items()}),
        )

    @property
    def first(self) -> TuningRecord:
        return self.records[0]

    @property
    def workload_key(self) -> str:
        return self.first.workload_key

    @property
    def models(self) -> frozenset[str]:
        """Inside of which it was timed."""
        return frozenset(record.model for record in self.records if record.model)

    def has_record(self, beginning: str) -> bool:
        """Whether the key of one of its records begins so."""
        return any(record.key.startswith(beginning) for record in self.records)

    @property
    def of_objective(self) -> bool:
        return self.first.of_objective

    @property
    def failed(self) -> int:
        """Candidates whose latest trial gave no time."""
        return sum(failure.count for failure in self.failures)

    @property
    def best_secs(self) -> float:
        """Infinite where nothing ran."""
        best = self.comparison.best
        return math.inf if best is None else best.secs

    @property
    def before_secs(self) -> float | None:
        """What the default would take where the best takes `best_secs`: both may have been compared elsewhere."""
        speedup = self.comparison.speedup
        return None if speedup is None else self.best_secs * speedup

    @property
    def last_improved(self) -> int:
        """The number of the trial that was the last to be the best; 0 where none ran."""
        return max((point.number for point in self.points if point.improves), default=0)

    @property
    def still_improves(self) -> bool:
        """Whether one of its last trials was better than all before: more minutes may then pay."""
        return len(self.points) > 1 and self.last_improved > (1 - _STILL_IMPROVING) * len(self.points)


def task_histories(records: Sequence[TuningRecord]) -> list[TaskHistory]:
    """Of all workloads, targets and units, in the order of their first record."""
    groups: dict[tuple[object, ...], list[TuningRecord]] = {}
    for record in records:
        groups.setdefault(task_of(record), []).append(record)
    return [TaskHistory.of(group) for group in groups.values()]


def task_of(record: TuningRecord) -> tuple[object, ...]:
    """What it has in common with those that it may be compared with."""
    return record.workload_key, record.target_key, record.scale


def _points(records: Sequence[TuningRecord]) -> Iterator[TrialPoint]:
    best, spent, number = math.inf, 0.0, 0
    for record in records:
        if record.evidence is not Evidence.TRIAL:
            continue
        number, spent = number + 1, spent + record.elapsed_secs
        secs = record.secs
        yield TrialPoint(number, spent, record, secs < best)
        best = min(best, secs)


def _failures(latest: Mapping[str, TuningRecord]) -> tuple[Failure, ...]:
    failed = [record for record in latest.values() if not record.measurement.ok]
    texts = [failure_text(record.measurement) for record in failed]
    examples = dict(zip(reversed(texts), reversed(failed), strict=True))
    return tuple(Failure(text, count, examples[text]) for text, count in Counter(texts).most_common())
