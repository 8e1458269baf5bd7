"""Workloads and candidates as messages: text that is parsed, never code."""

from __future__ import annotations

from functools import lru_cache
from typing import TypedDict

from flextune.csp.assignment import Assignment
from flextune.schedule.trace import Trace
from flextune.target.target import Target
from flextune.trial.measurement import Candidate
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
