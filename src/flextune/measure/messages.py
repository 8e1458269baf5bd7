"""Workloads and candidates as messages: text that is parsed, never code."""

from __future__ import annotations

import math
from dataclasses import asdict
from functools import lru_cache
from typing import TypedDict

from flextune.csp.assignment import Assignment
from flextune.errors import WorkerError
from flextune.schedule.trace import Trace
from flextune.target.target import Target
from flextune.trial.artifact import CompilerReport
from flextune.trial.measurement import Candidate, Measurement, Status
from flextune.workload.parse import parse_workload
from flextune.workload.workload import Workload


class WorkloadText(TypedDict):
    """A workload on its way; `body` is the JSON of a program without an operator name."""

    workload: str
    body: str | None


class CandidateText(WorkloadText):
    """A candidate on its way."""

    target: str
    trace: str
    assignment: str


def workload_text(workload: Workload) -> WorkloadText:
    return {"workload": str(workload), "body": workload.body}


def candidate_text(candidate: Candidate) -> CandidateText:
    return {
        **workload_text(candidate.workload),
        "target": str(candidate.target),
        "trace": trace_text(candidate.trace),
        "assignment": str(candidate.assignment),
    }


@lru_cache(maxsize=64)
def trace_text(trace: Trace) -> str:
    return trace.to_json()


class MeasurementText(TypedDict):
    """A measurement on its way; `max_error` is null where an element was not a number."""

    assignment: str
    status: str
    run_secs: list[float]
    error: str
    build_secs: float
    elapsed_secs: float
    max_error: float | None
    metrics: dict[str, float]
    report: dict[str, object]


def measurement_text(measurement: Measurement) -> MeasurementText:
    return {
        "assignment": str(measurement.assignment),
        "status": measurement.status.value,
        "run_secs": list(measurement.run_secs),
        "error": measurement.error,
        "build_secs": measurement.build_secs,
        "elapsed_secs": measurement.elapsed_secs,
        "max_error": measurement.max_error if math.isfinite(measurement.max_error) else None,
        "metrics": dict(measurement.metrics),
        "report": asdict(measurement.report),
    }


def read_measurement(text: MeasurementText, assignment: Assignment) -> Measurement:
    """The measurement of this assignment. `WorkerError` where it is one of another."""
    if text["assignment"] != str(assignment):
        raise WorkerError(f"a host has measured {text['assignment']} where it was asked for {assignment}")
    report = {name: tuple(value) if isinstance(value, list) else value for name, value in text["report"].items()}
    return Measurement(
        assignment,
        Status(text["status"]),
        tuple(text["run_secs"]),
        text["error"],
        text["build_secs"],
        text["elapsed_secs"],
        math.inf if text["max_error"] is None else text["max_error"],
        tuple(text["metrics"].items()),
        CompilerReport(**report),  # type: ignore[arg-type]
    )


def read_workload(text: WorkloadText) -> Workload:
    return _workload(text["workload"], text["body"])


def read_candidate(text: CandidateText) -> Candidate:
    return Candidate(
        read_workload(text), _target(text["target"]), _trace(text["trace"]), Assignment.parse(text["assignment"])
    )


@lru_cache(maxsize=64)
def _workload(text: str, body: str | None) -> Workload:
    return parse_workload(text, body)


_target = lru_cache(maxsize=64)(Target.parse)
_trace = lru_cache(maxsize=64)(Trace.from_json)
