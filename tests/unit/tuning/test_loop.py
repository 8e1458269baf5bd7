"""The loop over one workload: budget, records, resuming, finalists, interruption."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from flextune.csp import Assignment
from flextune.database.database import Database
from flextune.database.store import open_database
from flextune.measure.replay_runner import ReplayRunner
from flextune.platforms.null.kernel import null_secs
from flextune.target.peaks import Peaks
from flextune.trial.record import Evidence
from flextune.tuning.budget import Budget
from flextune.tuning.events import Event, RoundFinished, TaskOpened, TrialMeasured
from flextune.tuning.loop import spend_budget, tune_workload, workload_result
from flextune.tuning.result import REPORTED, TuningResult
from flextune.tuning.task_search import TaskSearch, TuningTask
from flextune.tuning.tasks import tune_tasks
from flextune.tuning.tune_options import TuneOptions
from flextune.tuning.tuning_run import TuningRun
from flextune.workload.parse import parse_workload

from .conftest import TARGET, FakeRunner

Start = Callable[..., TuningRun]
WORKLOAD = parse_workload("gemm:m=16,n=16,k=16")
OPTIONS = TuneOptions(Budget(trials=40), strategy="random", cost_model="none", seed=3)


def tune(run: TuningRun) -> tuple[TaskSearch, TuningResult]:
    search = run.open(TuningTask(WORKLOAD))
    with run.until_interrupted():
        spend_budget(run, search)
    return search, workload_result(run, search, "records.db")


def test_the_default_is_first_and_nothing_is_measured_twice(start: Start) -> None:
    runner = FakeRunner()
    search, result = tune(start(runner, OPTIONS))
    asked = [candidate.assignment for candidate in runner.measured]
    assert asked[0] == search.space.default
    assert len(asked) == 40
    assert max(Counter(asked).values()) == 1
    assert (result.trials, result.failed) == (40, 0)


def test_the_best_is_the_best_of_what_was_measured(start: Start) -> None:
    runner = FakeRunner()
    search, result = tune(start(runner, OPTIONS))
    times = [null_secs(candidate.assignment) for candidate in runner.measured]
    assert result.best_secs == pytest.approx(min(times))
    assert result.default_secs == pytest.approx(null_secs(search.space.default))
    assert result.best_gflops == pytest.approx(WORKLOAD.flops / min(times) / 1e9)


def test_fraction_of_peak_uses_the_peak_of_the_dtype(start: Start) -> None:
    peaks = Peaks(float32_flops=1e9, bfloat16_flops=7e9, int8_ops=9e9, memory_bytes_per_sec=1e9)
    _, result = tune(start(FakeRunner(), replace(OPTIONS, peaks=peaks)))
    assert result.fraction_of_peak == pytest.approx(result.best_gflops)


def test_json_has_exactly_the_promised_keys(start: Start) -> None:
    _, result = tune(start(FakeRunner(), OPTIONS))
    promised = (
        "workload strategy trials failed best_secs best_gflops fraction_of_peak default_secs elapsed_secs "
        "trials_per_sec space_size db best_cost default_cost unit origin parts"
    )
    assert tuple(result.to_dict()) == REPORTED == tuple(promised.split())


def test_every_trial_is_committed_before_the_next_is_measured(start: Start, database: Database) -> None:
    stored: list[int] = []

    def seen_by_the_next(assignment: Assignment) -> float:
        stored.append(len(database.records()))
        return null_secs(assignment)

    tune(start(FakeRunner(seen_by_the_next), replace(OPTIONS, finalists=1)))
    assert stored[:40] == list(range(40))


def test_a_resumed_run_measures_only_what_is_left(start: Start) -> None:
    first, second = FakeRunner(), FakeRunner()
    tune(start(first, replace(OPTIONS, budget=Budget(trials=25))))
    _, result = tune(start(second, OPTIONS))
    assert len(second.measured) == 15
    both = [candidate.assignment for candidate in first.measured + second.measured]
    assert len(set(both)) == result.trials == 40


def test_a_finished_run_measures_nothing_and_says_the_same(start: Start) -> None:
    _, before = tune(start(FakeRunner(), OPTIONS))
    runner = FakeRunner()
    _, after = tune(start(runner, OPTIONS))
    assert runner.measured == []
    assert runner.compared == []
    assert after.trials_per_sec == 0
    for name in ("trials", "failed", "best_secs", "default_secs", "best_gflops", "space_size"):
        assert getattr(after, name) == getattr(before, name)


def test_a_run_killed_before_its_finals_makes_them_up(start: Start) -> None:
    killed = start(FakeRunner(), OPTIONS)
    search = killed.open(TuningTask(WORKLOAD))
    while search.trials < 40:
        killed.play_round(search, trials=40 - search.trials)
    runner = FakeRunner()
    tune(start(runner, OPTIONS))
    assert runner.measured == []
    assert len(runner.compared) == 1


def test_without_resume_the_records_are_ignored(start: Start) -> None:
    tune(start(FakeRunner(), OPTIONS))
    runner = FakeRunner()
    tune(start(runner, replace(OPTIONS, resume=False)))
    assert len(runner.measured) == 40


def test_records_of_another_space_do_not_count(start: Start, database: Database) -> None:
    tune(start(FakeRunner(), OPTIONS))
    other = [replace(record, trace='[{"step":"mark","loop":"i","how":"parallel"}]') for record in database.records()]
    fresh = start(FakeRunner(), OPTIONS).open(TuningTask(parse_workload("gemm:m=8,n=8,k=8")))
    fresh.recall(other)
    assert fresh.trials == 0


def test_records_count_as_if_told_round_by_round(start: Start, database: Database) -> None:
    """What the scheduler and the patience of a budget go by."""
    tune(start(FakeRunner(), replace(OPTIONS, round_trials=7)))
    trials = [record for record in database.records() if record.evidence is Evidence.TRIAL]
    options = replace(OPTIONS, round_trials=7, resume=False)
    recalled, told = (start(FakeRunner(), options).open(TuningTask(WORKLOAD)) for _ in range(2))
    recalled.recall(trials)
    for begin in range(0, len(trials), 7):
        told.tell([record.measurement for record in trials[begin : begin + 7]])
    assert recalled.recorded == len(trials) == 40
    assert recalled.known == told.known
    assert recalled.round_best_secs == told.round_best_secs
    assert recalled.trials_without_gain == told.trials_without_gain
    assert recalled.best == told.best


def test_same_seed_same_trajectory(start: Start) -> None:
    runs = [FakeRunner(), FakeRunner(), FakeRunner()]
    for runner, seed in zip(runs, (3, 3, 4), strict=True):
        tune(start(runner, replace(OPTIONS, seed=seed, resume=False)))
    first, again, other = ([str(candidate.assignment) for candidate in runner.measured] for runner in runs)
    assert first == again != other


def test_the_winner_is_never_slower_than_the_default_in_the_finals(start: Start) -> None:
    """All candidates look fast once, but in the comparison the default wins."""
    runner = FakeRunner()
    default = {"rows": 1, "columns": 1, "unroll": 1, "area": 1}
    runner.secs = lambda assignment: 0.5 if dict(assignment) == default else (2.0 if runner.compared else 0.1)
    search, result = tune(start(runner, replace(OPTIONS, finalists=2, budget=Budget(trials=5))))
    assert result.best == search.space.default
    assert result.best_secs == result.default_secs == 0.5


def test_a_comparison_that_takes_longer_for_all_is_the_last(start: Start) -> None:
    """In turns everything is slower than alone: that makes nobody who was not compared a winner."""
    runner = FakeRunner()
    runner.secs = lambda assignment: null_secs(assignment) * (1.2 if runner.compared else 1.0)
    tune(start(runner, OPTIONS))
    assert len(runner.compared) == 1


def test_whoever_may_still_win_is_compared_too(start: Start) -> None:
    """A trial was lucky: its comparison is slower than that of others, and than what the next one took alone."""
    runner = FakeRunner()
    lucky: list[Assignment] = []

    def secs(assignment: Assignment) -> float:
        if not runner.compared and len(runner.measured) == 7:
            lucky[:] = [assignment]
        if assignment in lucky:
            return 10.0 if runner.compared else 1e-9
        return null_secs(assignment)

    runner.secs = secs
    search, result = tune(start(runner, replace(OPTIONS, finalists=1)))
    assert lucky[0] in [candidate.assignment for candidate in runner.compared[0]]
    assert len(runner.compared) == 2
    assert result.best_secs == pytest.approx(min(null_secs(each) for each in search.known if each not in lucky))


def test_the_default_is_always_among_the_finalists(start: Start) -> None:
    runner = FakeRunner()
    search, _ = tune(start(runner, OPTIONS))
    assert search.space.default in [candidate.assignment for candidate in runner.compared[0]]
    assert len(runner.compared[0]) == OPTIONS.finalists + 1


def test_finals_are_recorded_as_the_latest_evidence(start: Start, database: Database) -> None:
    _, result = tune(start(FakeRunner(), OPTIONS))
    records = database.records()
    assert [record.evidence for record in records] == [Evidence.TRIAL] * 40 + [Evidence.FINALIST] * 5
    best = database.best(WORKLOAD.key, TARGET.key)
    assert best is not None
    assert best.measurement.assignment == result.best


def test_failures_are_data(start: Start) -> None:
    runner = FakeRunner(lambda assignment: None if assignment["unroll"] == 8 else null_secs(assignment))
    _, result = tune(start(runner, OPTIONS))
    failed = sum(candidate.assignment["unroll"] == 8 for candidate in runner.measured)
    assert result.failed == failed > 0
    assert result.best is not None
    assert result.best["unroll"] != 8


def test_when_nothing_runs_there_is_no_best(start: Start) -> None:
    runner = FakeRunner(lambda assignment: None)
    _, result = tune(start(runner, OPTIONS))
    assert (result.best, result.best_secs, result.best_gflops) == (None, math.inf, 0.0)
    assert result.failed == result.trials == 40
    assert runner.compared == []


def test_a_small_space_ends_when_it_is_exhausted(start: Start) -> None:
    runner = FakeRunner()
    search, result = tune(start(runner, replace(OPTIONS, budget=Budget(trials=10**6))))
    assert result.trials == search.space.solutions.count == len(runner.measured)


def test_patience_ends_the_run(start: Start) -> None:
    runner = FakeRunner(lambda assignment: 1.0)
    tune(start(runner, replace(OPTIONS, budget=Budget(trials=200, patience_trials=32))))
    assert 32 <= len(runner.measured) < 100


def test_out_of_time_nothing_more_is_measured(start: Start) -> None:
    runner = FakeRunner()
    run = start(runner, replace(OPTIONS, budget=Budget(minutes=1e-6)))
    tune(run)
    assert runner.measured == []


def test_an_interrupted_run_keeps_what_it_has(start: Start, database: Database) -> None:
    runner = FakeRunner()
    runner.interrupt_after = 20
    _, result = tune(start(runner, OPTIONS))
    assert result.interrupted
    assert result.trials == len(database.records()) == 20
    assert runner.compared == []


def test_watchers_see_every_trial_and_round(start: Start) -> None:
    events: list[Event] = []
    _, result = tune(start(FakeRunner(), OPTIONS, events.append))
    opened, *rest = events
    assert isinstance(opened, TaskOpened)
    assert (opened.space_size, opened.recorded) == (result.space_size, 0)
    trials = [event for event in rest if isinstance(event, TrialMeasured)]
    assert [event.trials for event in trials] == list(range(1, 41))
    assert trials[-1].best_secs == result.best_secs
    rounds = [event for event in rest if isinstance(event, RoundFinished)]
    assert [event.number for event in rounds] == list(range(1, len(rounds) + 1))
    assert rounds[-1].trials == 40


def test_the_whole_loop_with_real_workers(database: Database) -> None:
    options = replace(OPTIONS, strategy="cga", budget=Budget(trials=12))
    result = tune_workload(WORKLOAD, TARGET, options, database, (), "records.db")
    assert (result.trials, result.failed, result.db) == (12, 0, "records.db")
    assert result.best_secs <= result.default_secs < math.inf
    assert len(database.measured(WORKLOAD.key, TARGET.key)) == 12


@pytest.mark.parametrize("strategy", ["random", "cga"])
def test_the_whole_loop_on_recorded_trials(database: Database, tmp_path: Path, strategy: str) -> None:
    """The same proposals get the same answers, and what was not measured before is a failure; nothing is started."""
    options = replace(OPTIONS, strategy=strategy)
    first = tune_workload(WORKLOAD, TARGET, options, database, runner=FakeRunner())
    with open_database(tmp_path / "again.db") as again:
        second = tune_workload(WORKLOAD, TARGET, options, again, runner=ReplayRunner(database.records()))
        asked = [[record.assignment for record in each.records()] for each in (database, again)]
    assert asked[0] == asked[1]
    assert (second.best, second.best_secs, second.failed) == (first.best, first.best_secs, 0)
    with open_database(tmp_path / "other.db") as other:
        runner = ReplayRunner(database.records())
        third = tune_workload(WORKLOAD, TARGET, replace(options, seed=4), other, runner=runner)
    assert 0 < third.failed < third.trials


def test_the_tasks_of_a_model_on_recorded_trials(database: Database, tmp_path: Path) -> None:
    """Which task gets the next round depends on how long rounds took, so only the first trials are the same."""
    tasks = [TuningTask(parse_workload(f"gemm:m={size},n=8,k=8"), 2) for size in (8, 16)]
    first = tune_tasks(tasks, TARGET, OPTIONS, database, runner=FakeRunner())
    with open_database(tmp_path / "again.db") as again:
        second = tune_tasks(tasks, TARGET, OPTIONS, again, runner=ReplayRunner(database.records()))
    assert [task.default_secs for task in second.tasks] == [task.default_secs for task in first.tasks]
    assert second.trials == first.trials == 40
