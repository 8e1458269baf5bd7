"""From how a request ended to the status and the cause of a measurement."""

from __future__ import annotations

import math

from flextune.csp.assignment import Assignment
from flextune.measure.ending import Ending, Outcome
from flextune.measure.messages import Message
from flextune.measure.text import lacks_memory
from flextune.trial.measurement import Measurement, Status

_SYSTEM_KILL = "worker killed by SIGKILL"


def went_well(outcome: Outcome) -> bool:
    """Whether the worker answered that all went well."""
    return outcome.ending is Ending.REPLY and outcome.reply["status"] == Status.OK


def what_happened(outcome: Outcome) -> str:
    """The error of the reply, or how the worker ended with the last it printed."""
    return str(outcome.reply.get("error") or f"{outcome.text}\n{outcome.log_tail}".strip())


def max_error(reply: Message) -> float:
    """The largest absolute error; JSON has no infinity, so it travels as null."""
    value = reply.get("max_error", 0.0)
    return math.inf if value is None else float(value)


def failure(assignment: Assignment, outcome: Outcome, *, building: bool, elapsed_secs: float) -> Measurement:
    """The measurement of a candidate whose build or run did not go well."""
    status, error = _status(outcome, building)
    return Measurement(assignment, status, error=error, elapsed_secs=elapsed_secs, max_error=max_error(outcome.reply))


def _status(outcome: Outcome, building: bool) -> tuple[Status, str]:
    if outcome.ending is Ending.REPLY:
        return Status(outcome.reply["status"]), str(outcome.reply["error"])
    stage = "build" if building else "run"
    text = f"{stage}: {outcome.text}"
    if outcome.ending is Ending.MEMORY:
        return Status.OUT_OF_MEMORY, text
    if outcome.ending is Ending.TIMEOUT:
        return (Status.BUILD_TIMEOUT if building else Status.RUN_TIMEOUT), text
    if outcome.text == _SYSTEM_KILL or lacks_memory(outcome.log_tail):
        return Status.OUT_OF_MEMORY, f"{text} for lack of memory"
    return (Status.BUILD_ERROR if building else Status.RUN_ERROR), text
