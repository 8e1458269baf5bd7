"""Which records decide about the best schedule of a workload."""

from __future__ import annotations

from collections.abc import Sequence

from flextune.trial.record import Evidence, TuningRecord


def deciding_records(records: Sequence[TuningRecord]) -> list[TuningRecord]:
    """Of one workload's records on one target, in order, those to choose the best from.

    These are the candidates of the last comparison, which were timed in turns, as long as nothing was measured since;
    else the latest record of every candidate.
    """
    comparison = len(records)
    while comparison and records[comparison - 1].evidence is not Evidence.TRIAL:
        comparison -= 1
    deciding = records[comparison:] or records
    return list({record.key: record for record in deciding}.values())


def best_record(records: Sequence[TuningRecord]) -> TuningRecord | None:
    """The fastest of the deciding records; None when none of them ran."""
    fastest = min(deciding_records(records), key=lambda record: record.secs, default=None)
    return fastest if fastest is not None and fastest.measurement.ok else None
