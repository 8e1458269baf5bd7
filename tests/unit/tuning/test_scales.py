"""Costs of different units and origins are never ranked, learned from, or exported together."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from flextune.database.database import Database
from flextune.database.exchange import export_table
from flextune.errors import UsageError
from flextune.platforms import platform_registry
from flextune.quantities import MEASURED_SECONDS, CostOrigin, Scale, Unit, amount
from flextune.testing.databases import TARGET, WORKLOAD, example_record
from flextune.trial.evidence import best_record, preferred_scale
from flextune.trial.measurement import Candidate, Measurement, Status
from flextune.trial.record import Provenance, TuningRecord
from flextune.tuning.budget import Budget
from flextune.tuning.loop import spend_budget, workload_result
from flextune.tuning.pretraining import recorded_tasks
from flextune.tuning.task_search import TuningTask
from flextune.tuning.tune_options import TuneOptions
from flextune.tuning.tuning_run import TuningRun
from flextune.workload.parse import parse_workload

from .conftest import TARGET as NULL
from .conftest import FakeRunner

COUNTED = Scale(Unit.INSTRUCTIONS, CostOrigin.SIMULATED)
COUNTS = {"unit": Unit.INSTRUCTIONS, "origin": CostOrigin.SIMULATED}
GEMM = parse_workload("gemm:m=64,n=64,k=64")


def counted(tile: int, count: float, **values: object) -> TuningRecord:
    return replace(example_record(tile, count), **COUNTS, **values)  # type: ignore[arg-type]


def test_records_in_seconds_have_the_text_they_always_had() -> None:
    record = example_record(1)
    assert "unit" not in record.to_json()
    assert "origin" not in record.to_json()
    assert TuningRecord.from_json(record.to_json()).scale == MEASURED_SECONDS


def test_unit_origin_and_parts_are_kept(database: Database) -> None:
    record = counted(1, 870123.0, metrics=(("vector", 50000.0), ("branch", 2.0)))
    database.commit(record)
    assert TuningRecord.from_json(record.to_json()) == record
    assert database.records() == [record]


def test_an_unknown_unit_is_refused() -> None:
    with pytest.raises(UsageError, match="'unit'"):
        TuningRecord.from_json(counted(1, 5.0).to_json().replace("instructions", "miles"))


def test_the_best_is_of_one_scale_whatever_was_written_last(database: Database) -> None:
    seconds, few, fewer = example_record(3, 100.0), counted(1, 50.0), counted(2, 40.0)
    database.commit_all([few, fewer])
    assert database.best(WORKLOAD, TARGET) == fewer
    database.commit_all([seconds, counted(3, 1.0)])  # the same candidate, counted later
    assert database.best(WORKLOAD, TARGET) == seconds
    assert best_record(database.records()) == seconds


def test_cycles_of_a_model_do_not_beat_counted_ones(database: Database) -> None:
    modelled = replace(example_record(1, 1.0), unit=Unit.CYCLES, origin=CostOrigin.MODELLED)
    simulated = counted(2, 900.0)
    database.commit_all([modelled, simulated])
    assert database.best(WORKLOAD, TARGET) == simulated == best_record([modelled, simulated])
    assert preferred_scale([modelled.scale, simulated.scale]) == COUNTED


def test_a_run_takes_only_records_of_its_own_scale_for_known(database: Database) -> None:
    """And its default stays the best of its unit when another unit's numbers are all smaller."""
    options = TuneOptions(Budget(trials=8), cost_model="none")
    results = {}
    for scale, factor in ((MEASURED_SECONDS, 1.0), (COUNTED, 1e9)):
        runner = FakeRunner()
        usual = runner.secs
        runner.secs = lambda assignment, usual=usual, factor=factor: factor * (usual(assignment) or 0.0)
        about = Provenance("p", "v", 0, "random", "host", unit=scale.unit, origin=scale.origin)
        run = TuningRun(runner, platform_registry.get("null"), NULL, database, options, about)
        search = run.open(TuningTask(GEMM))
        assert search.recorded == 0
        spend_budget(run, search)
        results[scale] = workload_result(run, search, "db")
        assert bool(runner.compared) is (scale == MEASURED_SECONDS)  # what is counted comes out the same every time
        assert results[scale].best_secs <= results[scale].default_secs
    assert results[COUNTED].best_secs > 1e3 > results[MEASURED_SECONDS].best_secs
    again = TuningRun(FakeRunner(), platform_registry.get("null"), NULL, database, options, about)
    assert again.open(TuningTask(GEMM)).recorded == 8


def test_results_that_are_no_times_have_no_seconds(database: Database) -> None:
    options = TuneOptions(Budget(trials=2), cost_model="none")
    about = Provenance("p", "v", 0, "random", "host", **COUNTS)  # type: ignore[arg-type]
    run = TuningRun(FakeRunner(lambda _: 5e5), platform_registry.get("null"), NULL, database, options, about)
    search = run.open(TuningTask(GEMM))
    spend_budget(run, search)
    values = workload_result(run, search, "db").to_dict()
    assert (values["best_cost"], values["unit"], values["origin"]) == (5e5, "instructions", "simulated")
    assert values["best_secs"] is values["default_secs"] is values["best_gflops"] is None


def test_cost_models_learn_from_one_scale() -> None:
    workload = parse_workload("gemm:m=64,n=64,k=64")
    space = platform_registry.get("null").search_space(workload, NULL)
    about = Provenance("p", "v", 0, "random", "host")

    def record(scale: Scale) -> TuningRecord:
        candidate = Candidate(workload, NULL, space.trace, space.default)
        measurement = Measurement(space.default, Status.OK, (1.0,))
        return TuningRecord.of(candidate, measurement, replace(about, unit=scale.unit, origin=scale.origin))

    found = recorded_tasks([record(MEASURED_SECONDS), record(COUNTED)], NULL)
    assert (len(found.tasks), found.left_out) == (1, 1)


def test_tables_of_other_tuners_hold_one_scale(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="in one unit"):
        export_table([example_record(1), counted(2, 5.0)], tmp_path / "table.json", "kernel-tuner")
    assert export_table([counted(2, 5.0)], tmp_path / "table.json", "kernel-tuner") == 1
    assert '"time": 5000' not in (tmp_path / "table.json").read_text()  # nobody takes instructions for milliseconds


def test_costs_are_printed_with_what_they_are() -> None:
    assert amount(2e-3) == "2 ms"
    assert amount(870123.0, COUNTED) == "870123 instructions, simulated"
    assert amount(2e-3, Scale(Unit.SECONDS, CostOrigin.MODELLED)) == "2 ms, modelled"
    assert amount(float("inf"), COUNTED) == "-"
