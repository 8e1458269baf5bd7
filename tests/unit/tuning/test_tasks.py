"""Several tasks under one budget."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace

import pytest

from flextune.csp import Assignment, Problem
from flextune.database.database import Database
from flextune.platforms.null.kernel import null_secs
from flextune.schedule.space import SearchSpace
from flextune.schedule.trace import Trace
from flextune.trial.measurement import Candidate, Measurement, Status
from flextune.tuning.budget import Budget
from flextune.tuning.task_search import OnlyDefault, TaskSearch, TuningTask
from flextune.tuning.tasks import share_budget, tasks_result
from flextune.tuning.tune_options import TuneOptions
from flextune.tuning.tuning_run import TuningRun
from flextune.workload.parse import parse_workload

from .conftest import TARGET, FakeRunner

Start = Callable[..., TuningRun]
OPTIONS = TuneOptions(Budget(trials=200), strategy="random", cost_model="none")
TASKS = [
    TuningTask(parse_workload("gemm:m=16,n=16,k=16"), 1, "light"),
    TuningTask(parse_workload("gemm:m=32,n=32,k=32"), 20, "heavy"),
    TuningTask(parse_workload("gemm:m=64,n=64,k=64"), 1, "other"),
]


def share(run: TuningRun, tasks: list[TuningTask] = TASKS) -> list[TaskSearch]:
    searches: list[TaskSearch] = []
    with run.until_interrupted():
        share_budget(run, tasks, searches)
    return searches


def test_the_budget_is_the_sum_and_the_heavy_task_gets_most(start: Start) -> None:
    runner = FakeRunner()
    run = start(runner, OPTIONS)
    result = tasks_result(run, share(run))
    assert result.trials == len(runner.measured) == 200
    trials = {task.name: task.trials for task in result.tasks}
    assert trials["heavy"] > trials["light"]
    assert min(trials.values()) >= 1
    assert sum(task.share for task in result.tasks) == pytest.approx(1)
    assert [task.count for task in result.tasks] == [1, 20, 1]


def test_defaults_come_first_in_the_tasks_order(start: Start) -> None:
    runner = FakeRunner()
    searches = share(start(runner, OPTIONS))
    first = [candidate.assignment for candidate in runner.measured[:3]]
    assert first == [search.space.default for search in searches]
    assert [candidate.workload for candidate in runner.measured[:3]] == [task.workload for task in TASKS]


def test_a_small_budget_is_not_exceeded(start: Start) -> None:
    runner = FakeRunner()
    searches = share(start(runner, replace(OPTIONS, budget=Budget(trials=2))))
    assert len(runner.measured) == 2
    assert [search.trials for search in searches] == [1, 1, 0]


def test_resuming_goes_on_where_the_run_ended(start: Start) -> None:
    share(start(FakeRunner(), replace(OPTIONS, budget=Budget(trials=90))))
    runner = FakeRunner()
    share(start(runner, OPTIONS))
    assert len(runner.measured) == 110
    pairs = Counter((candidate.workload, candidate.assignment) for candidate in runner.measured)
    assert max(pairs.values()) == 1


def test_every_task_with_something_to_compare_has_finals(start: Start) -> None:
    runner = FakeRunner()
    share(start(runner, OPTIONS))
    assert {candidates[0].workload for candidates in runner.compared} == {task.workload for task in TASKS}


def test_an_interrupted_run_keeps_all_tasks_trials(start: Start, database: Database) -> None:
    runner = FakeRunner()
    runner.interrupt_after = 50
    run = start(runner, OPTIONS)
    searches = share(run)
    assert run.interrupted
    assert len(database.records()) == 50
    assert tasks_result(run, searches).interrupted


def test_a_task_in_which_nothing_runs_leaves_the_budget_to_the_others(start: Start) -> None:
    class Hopeless(FakeRunner):
        def outcome(self, candidate: Candidate, repeats: int) -> Measurement:
            self.secs = (lambda assignment: None) if candidate.workload == TASKS[1].workload else null_secs
            return super().outcome(candidate, repeats)

    run = start(Hopeless(), replace(OPTIONS, budget=Budget(trials=300)))
    trials = {search.task.name: search.trials for search in share(run)}
    assert trials["heavy"] < 100
    assert trials["light"] + trials["other"] > 200


def test_a_program_without_rules_is_measured_once() -> None:
    space = SearchSpace(TASKS[0].workload, TARGET, Trace(()), Problem((), ()), Assignment({}), ("untuned",))
    search = TaskSearch(TASKS[0], space, OPTIONS)
    asked = search.propose(16)
    assert [candidate.assignment for candidate in asked] == [Assignment({})]
    search.tell([FakeRunner(lambda assignment: 1.0).outcome(asked[0], 3)])
    assert search.propose(16) == []
    assert search.exhausted
    assert not space.tunable


def test_the_only_default_is_not_asked_when_it_was_told() -> None:
    default = Assignment({})
    strategy = OnlyDefault(default)
    strategy.tell([Measurement(default, Status.OK, (1.0,))])
    assert strategy.ask(4) == []
