"""Callbacks that every run has; others (a live view, statistics) are the caller's."""

from __future__ import annotations

from dataclasses import replace

from flextune.database.base import Database
from flextune.trial.record import Provenance, TuningRecord
from flextune.tuning.events import Event, FinalistMeasured, TrialMeasured
from flextune.tuning.evidence import FINAL


class RecordWriter:
    """Commits each trial as it arrives, so that killing the process loses at most what is in flight."""

    def __init__(self, database: Database, provenance: Provenance) -> None:
        self._database = database
        self._trial = provenance
        self._final = replace(provenance, protocol=FINAL + provenance.protocol)

    def __call__(self, event: Event) -> None:
        if isinstance(event, TrialMeasured):
            self._database.commit(TuningRecord.of(event.candidate, event.measurement, self._trial))
        elif isinstance(event, FinalistMeasured):
            self._database.commit(TuningRecord.of(event.candidate, event.measurement, self._final))
