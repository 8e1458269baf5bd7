"""What a watcher sees."""

from __future__ import annotations

import math
from io import StringIO

import pytest
from rich.console import Console

from flextune.cli.live import LiveView, failure_lines, summary
from flextune.csp import Assignment
from flextune.schedule.trace import Trace
from flextune.target.target import Target
from flextune.trial.measurement import Candidate, Measurement, Status
from flextune.tuning.budget import Budget
from flextune.tuning.events import Event, FinalistMeasured, TaskOpened, TrialMeasured
from flextune.tuning.progress import Progress
from flextune.workload.parse import parse_workload

CANDIDATE = Candidate(
    parse_workload("gemm:m=8,n=8,k=8"), Target.parse("null:cpu=none,cores=1"), Trace(()), Assignment({"i": 1})
)


def trial(number: int, secs: float | None, error: str = "", best_secs: float = math.inf) -> Event:
    status = Status.OK if secs else Status.RUN_ERROR
    measurement = Measurement(CANDIDATE.assignment, status, (secs,) if secs else (), error)
    return TrialMeasured("a", CANDIDATE, measurement, number, min(best_secs, secs or math.inf))


def progress_of(*events: Event) -> Progress:
    progress = Progress()
    for event in events:
        progress(event)
    return progress


def test_summary_of_one_task() -> None:
    progress = progress_of(TaskOpened("a", 100, 10, 0.5), trial(11, 0.25), trial(12, None, "boom", 0.25))
    text = summary(progress, Budget(trials=64), 3.2)
    assert text == "12/64 trials (10 recorded), 1 failed, best 250 ms, 3 s"


def test_summary_counts_down_a_budget_in_minutes() -> None:
    progress = progress_of(TaskOpened("a", 100, 0, math.inf), TaskOpened("b", 10, 0, math.inf))
    assert summary(progress, Budget(minutes=1), 15.0) == "0 trials, 0 failed, 2 tasks, 45 s left"
    assert "0 s left" in summary(progress, Budget(minutes=1), 100.0)


def test_summary_says_when_the_finalists_are_compared() -> None:
    measurement = Measurement(CANDIDATE.assignment, Status.OK, (1.0,))
    progress = progress_of(TaskOpened("a", 1, 0, 1.0), FinalistMeasured("a", CANDIDATE, measurement))
    assert "comparing the finalists" in summary(progress, Budget(trials=1), 0.0)


def test_failures_are_grouped_by_cause() -> None:
    crashes = [trial(n, None, f"killed at 0x{n:x}") for n in range(1, 4)]
    progress = progress_of(TaskOpened("a", 9, 0, math.inf), *crashes, trial(4, None, "no memory"))
    assert failure_lines(progress) == ["  3 x run_error: killed at @", "  1 x run_error: no memory"]


def test_plain_lines_on_stderr_where_there_is_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    with LiveView(Budget(trials=2), "gemm") as view:
        view(TaskOpened("a", 9, 0, math.inf))
        view(trial(1, 0.5))
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.splitlines() == ["gemm: started", "1/2 trials, 0 failed, best 500 ms, 0 s"]


def test_a_terminal_shows_tasks_and_failures() -> None:
    out = StringIO()
    with LiveView(Budget(trials=9), "the title", Console(file=out, width=120, force_terminal=True)) as view:
        for event in (TaskOpened("a", 9, 0, math.inf), trial(1, 1.0), trial(2, 0.5), trial(3, None, "boom", 0.5)):
            view(event)
    for part in ("the title", "3/9 trials", "2.00x", "1 x run_error: boom"):
        assert part in out.getvalue()
