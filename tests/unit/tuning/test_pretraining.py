"""From records to pretrained models, and runs that start from one."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable

import numpy as np
import pytest

from flextune.cost.pretrained import PretrainedModel, pretrain
from flextune.database.database import Database
from flextune.platforms.null.kernel import null_secs
from flextune.target.target import Target
from flextune.trial.record import TuningRecord
from flextune.tuning.budget import Budget
from flextune.tuning.loop import spend_budget
from flextune.tuning.pretraining import recorded_tasks
from flextune.tuning.task_search import TaskSearch, TuningTask
from flextune.tuning.tune_options import TuneOptions
from flextune.tuning.tuning_run import TuningRun
from flextune.workload.parse import parse_workload

from .conftest import TARGET, FakeRunner

Start = Callable[..., TuningRun]
SHAPES = ("gemm:m=16,n=16,k=16", "gemm:m=32,n=16,k=16", "softmax:rows=8,cols=16")
OPTIONS = TuneOptions(Budget(trials=48), strategy="random", cost_model="none", final_rounds=3)


def searched(run: TuningRun, text: str) -> TaskSearch:
    search = run.open(TuningTask(parse_workload(text)))
    spend_budget(run, search)
    return search


@pytest.fixture
def recorded(start: Start, database: Database) -> Database:
    for text in SHAPES[:2]:
        searched(start(FakeRunner(), OPTIONS), text)
    return database


def model_of(database: Database) -> PretrainedModel:
    return pretrain(recorded_tasks(database.records(), TARGET).tasks, TARGET.key)


def test_one_task_per_workload(recorded: Database) -> None:
    found = recorded_tasks(recorded.records(), TARGET)
    assert [len(task.secs) for task in found.tasks] == [48, 48]
    assert [task.task.operator for task in found.tasks] == ["gemm", "gemm"]
    assert found.left_out == 0
    first = found.tasks[0]
    assert first.secs[3] == pytest.approx(null_secs(first.assignments[3]))


def test_what_belongs_to_no_task_is_left_out(recorded: Database) -> None:
    records = recorded.records()
    stranger = dataclasses.replace(records[0], target_key="null:cpu=other,cores=1")
    objective = dataclasses.replace(records[0], workload="objective:example")
    unknown = dataclasses.replace(records[0], workload="unheard:m=3", workload_key="0123456789abcdef")
    found = recorded_tasks([*records, stranger, objective, unknown], TARGET)
    assert found.left_out == 3
    assert len(found.tasks) == 2


def test_the_latest_record_of_a_candidate_counts_and_failures_stay(recorded: Database) -> None:
    def failed(record: TuningRecord) -> TuningRecord:
        return dataclasses.replace(record, status=type(record.status)("run_error"), run_secs=(), error="no")

    records = recorded.records()
    task = recorded_tasks([*records, failed(records[0])], TARGET).tasks[0]
    assert len(task.secs) == 48
    assert np.isinf(task.secs).sum() == 1


def test_nothing_recorded() -> None:
    assert recorded_tasks([], Target.parse("null:cpu=none,cores=1")).tasks == ()


def test_a_run_that_starts_from_a_model_finds_more_in_fewer_trials(start: Start, recorded: Database) -> None:
    model = model_of(recorded)
    options = dataclasses.replace(OPTIONS, budget=Budget(trials=17), cost_model="trees", round_trials=8)
    best = {}
    for name, pretrained in (("nothing", None), ("model", model)):
        runner = FakeRunner()
        search = start(runner, dataclasses.replace(options, pretrained=pretrained, resume=False)).open(
            TuningTask(parse_workload(SHAPES[0]))
        )
        for _ in range(2):
            candidates = search.propose(8)
            search.tell(list(runner.measure(candidates)))
        best[name] = math.log(search.best_secs)
    assert best["model"] <= best["nothing"]


def test_another_operator_starts_from_it_too(start: Start, recorded: Database) -> None:
    options = dataclasses.replace(OPTIONS, budget=Budget(trials=40), cost_model="trees", pretrained=model_of(recorded))
    search = searched(start(FakeRunner(), options), SHAPES[2])
    assert search.trials == 40
