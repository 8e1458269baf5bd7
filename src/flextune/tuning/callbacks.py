"""Callbacks that every run has; others (a live view, statistics) are the caller's."""

from __future__ import annotations

from flextune.database.database import Database
from flextune.trial.record import Evidence, Provenance, TuningRecord
from flextune.tuning.events import Event, FinalistMeasured, TrialMeasured


class RecordWriter:
    """Commits each trial as it arrives, so that killing the process loses at most what is in flight."""

    def __init__(self, database: Database, provenance: Provenance) -> None:
        self._database = database
        self._provenance = provenance

    def __call__(self, event: Event) -> None:
        if isinstance(event, TrialMeasured):
            self._commit(event, Evidence.TRIAL)
        elif isinstance(event, FinalistMeasured):
            self._commit(event, Evidence.FINALIST)

    def _commit(self, event: TrialMeasured | FinalistMeasured, evidence: Evidence) -> None:
        record = TuningRecord.of(event.candidate, event.measurement, self._provenance, evidence=evidence)
        self._database.commit(record)
