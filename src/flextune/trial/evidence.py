"""Which records decide about the best schedule of a workload."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from flextune.quantities import MEASURED_SECONDS, CostOrigin, Scale, Unit
from flextune.trial.record import Evidence, TuningRecord

_PREFERRED = (
    MEASURED_SECONDS,
    *(Scale(unit, origin) for origin in CostOrigin for unit in Unit if Scale(unit, origin) != MEASURED_SECONDS),
)
"""What says more of a device's time comes first: what was measured, then simulated, then modelled."""


def preferred_scale(scales: Iterable[Scale]) -> Scale:
    """Of several scales, the one to choose by: their numbers are not comparable. Measured seconds where there are none.

    >>> str(preferred_scale([Scale(Unit.CYCLES, CostOrigin.SIMULATED), MEASURED_SECONDS]))
    'seconds, measured'
    """
    return min(scales, key=_PREFERRED.index, default=MEASURED_SECONDS)


def of_one_scale(records: Sequence[TuningRecord]) -> list[TuningRecord]:
    """The records that may be compared: those of the preferred scale that any of them ran in."""
    scale = preferred_scale({record.scale for record in records if record.measurement.ok})
    return [record for record in records if record.scale == scale]


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
    """The fastest of the deciding records of one scale; None when none of them ran."""
    fastest = min(deciding_records(of_one_scale(records)), key=lambda record: record.secs, default=None)
    return fastest if fastest is not None and fastest.measurement.ok else None
