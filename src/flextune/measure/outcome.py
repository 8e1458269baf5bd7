"""From how a request ended to the status and the cause of a measurement."""

from __future__ import annotations

import math
import signal

from flextune.csp.assignment import Assignment
from flextune.measure.ending import Ending, Outcome
from flextune.measure.text import lacks_memory
from flextune.measure.wire import Message
from flextune.trial.measurement import Measurement, Status


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
    if outcome.ending is Ending.REPLY:
        status, error = Status(outcome.reply["status"]), str(outcome.reply["error"])
    else:
        status, error = cause_of_end(outcome, building=building)
        error = f"{'build' if building else 'run'}: {error}"
    return Measurement(assignment, status, error=error, elapsed_secs=elapsed_secs, max_error=max_error(outcome.reply))


def cause_of_end(outcome: Outcome, *, building: bool = False) -> tuple[Status, str]:
    """The status and the text of a request whose process ended in place of a reply, whatever it was asked to do.

    >>> cause_of_end(Outcome(Ending.DIED, text="worker killed by SIGSEGV", code=-11))
    (<Status.RUN_ERROR: 'run_error'>, 'worker killed by SIGSEGV')
    """
    if outcome.ending is Ending.MEMORY:
        return Status.OUT_OF_MEMORY, outcome.text
    if outcome.ending is Ending.TIMEOUT:
        return (Status.BUILD_TIMEOUT if building else Status.RUN_TIMEOUT), outcome.text
    if outcome.code == -signal.SIGKILL or lacks_memory(outcome.log_tail):  # as the system kills when memory ends
        return Status.OUT_OF_MEMORY, f"{outcome.text} for lack of memory"
    return (Status.BUILD_ERROR if building else Status.RUN_ERROR), outcome.text
