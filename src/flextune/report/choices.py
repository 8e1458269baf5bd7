"""What was chosen, as text."""

from __future__ import annotations

from flextune.database.exchange import configuration
from flextune.errors import UsageError
from flextune.trial.record import TuningRecord


def choices(record: TuningRecord) -> str:
    """The values of a schedule's variables, or of an objective's parameters."""
    if not record.of_objective:
        return record.assignment
    try:
        return " ".join(f"{name}={value}" for name, value in configuration(record).items())
    except UsageError:  # parameters of an earlier form
        return record.assignment
