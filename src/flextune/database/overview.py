"""What the records of each workload say in short, found without reading all of them."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass

from flextune.trial.cause import failure_text
from flextune.trial.record import Evidence, TuningRecord


@dataclass(frozen=True, slots=True)
class TaskOverview:
    """Of one workload on one target, in one unit."""

    deciding: tuple[TuningRecord, ...]
    """The first and the last record, and in order those on which it depends which schedule is the best and how it
    compares: what `trial.evidence` and `report.comparison` say of these, they say of all."""
    candidates: int
    """Different ones that were tried."""
    failed: int
    """How many of them gave no time; of several records of one the latest counts."""
    failures: tuple[tuple[str, int], ...]
    """Causes, most frequent first; empty where they were not asked for."""
    models: frozenset[str]
    """Names of the models inside of which it was timed."""

    @property
    def first(self) -> TuningRecord:
        return self.deciding[0]

    @property
    def name(self) -> str:
        """Which a person knows."""
        return self.first.name

    @property
    def workload_key(self) -> str:
        return self.first.workload_key

    def has_record(self, beginning: str) -> bool:
        """Whether the key of one of the deciding records begins so."""
        return any(record.key.startswith(beginning) for record in self.deciding)

    @property
    def latest(self) -> str:
        """When something was measured last."""
        return self.deciding[-1].created


@dataclass(frozen=True, slots=True)
class RecordColumns:
    """As much of a task's records, in order, as it takes to see which of them are needed whole."""

    candidates: Sequence[str]
    """Their keys."""
    secs: Sequence[float | None]
    """None for one that failed."""
    comparisons: Sequence[str]
    """What it was compared in; empty for a trial."""
    places: Sequence[int]
    """Where the record is to be found."""

    @property
    def latest(self) -> dict[str, int]:
        """The row of the last record of each candidate."""
        return dict(zip(self.candidates, range(len(self.candidates)), strict=True))

    @property
    def failed(self) -> list[int]:
        """The places of the last records of the candidates that gave no time."""
        return [self.places[row] for row in self.latest.values() if self.secs[row] is None]

    def without(self, rows: Collection[int]) -> RecordColumns:
        """All but these rows."""
        kept = [row for row in range(len(self.places)) if row not in rows]
        return RecordColumns(
            [self.candidates[row] for row in kept],
            [self.secs[row] for row in kept],
            [self.comparisons[row] for row in kept],
            [self.places[row] for row in kept],
        )

    def deciding(self) -> list[int]:
        """The rows of the records in `TaskOverview.deciding`."""
        rows, tail = len(self.places), self._last_comparison()
        first = next((self.candidates[row] for row in range(rows) if not self.comparisons[row]), "")
        begin = tail if tail < rows else 0
        latest = {self.candidates[row]: row for row in range(begin, rows)}
        best = self.candidates[min(latest.values(), key=self._secs)]
        kept = {0, rows - 1, max(0, tail - 1), *range(tail, rows)}
        for candidate in (first, best):
            own = [row for row, each in enumerate(self.candidates) if each == candidate]
            trials = [row for row in own if not self.comparisons[row]]
            kept.update((*own[:1], *trials[:1], *own[-1:], *trials[-1:]))
        return sorted(kept)

    def _last_comparison(self) -> int:
        """The row from which on there are no trials."""
        tail = len(self.comparisons)
        while tail and self.comparisons[tail - 1]:
            tail -= 1
        return tail

    def _secs(self, row: int) -> float:
        secs = self.secs[row]
        return math.inf if secs is None else secs


def overviews_of(records: Iterable[TuningRecord], causes: bool = False) -> list[TaskOverview]:
    """Of all workloads, targets and units, in the order of their first record."""
    groups: dict[tuple[object, ...], list[TuningRecord]] = {}
    for record in records:
        groups.setdefault((record.workload_key, record.target_key, record.scale), []).append(record)
    return [_of_records(group, causes) for group in groups.values()]


def _of_records(records: Sequence[TuningRecord], causes: bool) -> TaskOverview:
    columns = RecordColumns(
        [record.key for record in records],
        [record.secs if record.measurement.ok else None for record in records],
        [compared_in(record.evidence, record.model) for record in records],
        range(len(records)),
    )
    failed = columns.failed
    texts = [failure_text(records[place].measurement) for place in failed] if causes else []
    return TaskOverview(
        deciding=tuple(records[row] for row in columns.deciding()),
        candidates=len(columns.latest),
        failed=len(failed),
        failures=tuple(Counter(texts).most_common()),
        models=frozenset(record.model for record in records if record.model),
    )


def compared_in(evidence: Evidence, model: str) -> str:
    """Records of one comparison have this in common."""
    return "" if evidence is Evidence.TRIAL else f"{evidence} {model}"


def readable(
    columns: RecordColumns, read: Callable[[int], TuningRecord | None]
) -> tuple[RecordColumns, tuple[TuningRecord, ...]]:
    """The rows that count, and the deciding records of them: what cannot be read (None) does not count."""
    while columns.places:
        found = {row: read(columns.places[row]) for row in columns.deciding()}
        damaged = {row for row, record in found.items() if record is None}
        if not damaged:
            return columns, tuple(record for record in found.values() if record is not None)
        columns = columns.without(damaged)
    return columns, ()
