from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from benchmarks.measure_space import OpenSpace, write
from benchmarks.restriction import restricted
from benchmarks.survey import SurveyPlan, survey, tabular_trial, tabulated
from flextune.csp.assignment import Assignment
from flextune.database.database import Database
from flextune.database.space_files import load_space
from flextune.database.store import open_database
from flextune.platforms import platform_registry
from flextune.platforms.null.kernel import null_secs
from flextune.target.target import Target
from flextune.trial.measurement import Measurement, Status
from flextune.trial.record import Provenance
from flextune.workload.parse import parse_workload

from .fake_runner import FakeRunner

PROVENANCE = Provenance("protocol", "flextune=test", 0, "survey", "host")
A = Assignment({"tile": 4})


@pytest.fixture
def plan() -> SurveyPlan:
    target = Target.parse("null:cpu=none,cores=1")
    space = platform_registry.get("null").search_space(parse_workload("gemm:m=64,n=64,k=64"), target)
    return SurveyPlan(space, restricted(space.solutions, 30), passes=3, repeats=2)


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    with open_database(tmp_path / "records.db") as opened:
        yield opened


def said(made: int, planned: int) -> None:
    assert 0 < made <= planned


def test_every_pass_visits_every_member_once_in_another_order(plan: SurveyPlan, database: Database) -> None:
    runner = FakeRunner()
    visits = survey(plan, runner, database, PROVENANCE, said)
    count = plan.members.count
    asked = [candidate.assignment for candidate in runner.measured]
    passes = [asked[start : start + count] for start in range(0, 3 * count, count)]
    assert all(set(each) == set(plan.members) for each in passes)
    assert passes[0] != passes[1] != passes[2]
    assert {len(each) for each in visits.values()} == {3}
    assert len(database.records()) == 3 * count


def test_a_survey_that_is_stopped_goes_on_where_it_was(plan: SurveyPlan, database: Database) -> None:
    count = plan.members.count
    with pytest.raises(KeyboardInterrupt):
        survey(plan, FakeRunner(patience=count + 5), database, PROVENANCE, said)
    runner = FakeRunner()
    visits = survey(plan, runner, database, PROVENANCE, said)
    assert len(runner.measured) == 3 * count - (count + 5)
    assert {len(each) for each in visits.values()} == {3}


def test_a_limit_takes_the_first_of_the_first_pass(plan: SurveyPlan, database: Database) -> None:
    runner = FakeRunner()
    visits = survey(plan, runner, database, PROVENANCE, said, limit=4)
    assert set(visits) == set(plan.order(0)[:4])
    assert set(Counter(candidate.assignment for candidate in runner.measured).values()) == {3}


def test_the_table_is_over_what_varies_with_all_repeats(plan: SurveyPlan, database: Database) -> None:
    space = tabulated("null", "device", plan.members, survey(plan, FakeRunner(), database, PROVENANCE, said))
    assert len(space) == plan.members.count
    assert {len(trial.run_secs) for trial in space.trials} == {6}
    assert space.charged_secs == pytest.approx(np.full(len(space), 0.15))
    fastest = min(plan.members, key=null_secs)
    best = space.trials[int(np.argmin(space.secs))]
    assert all(fastest[name] == value for name, value in best.assignment.items())


def test_the_file_says_what_and_where_it_is(plan: SurveyPlan, database: Database, tmp_path: Path, monkeypatch) -> None:
    facts = {"target": "t", "host": {"cpu_name": "c"}, "peaks": None, "versions": {"flextune": "1"}}
    monkeypatch.setattr("benchmarks.measure_space.doctor_report", lambda with_peaks: _Report(facts))
    visits = survey(plan, FakeRunner(), database, PROVENANCE, said)
    path = tmp_path / "made.json.gz"
    text = write(plan, OpenSpace("gemm:m=64,n=64,k=64", fixed={"unroll": 1}), visits, path)
    assert f"{plan.members.count} members, 0 failed" in text
    assert len(load_space(path)) == plan.members.count
    assert load_space(path).name == str(plan.space.workload)


class _Report:
    def __init__(self, facts: dict[str, object]) -> None:
        self._facts = facts

    def facts(self) -> dict[str, object]:
        return self._facts


def ran(*secs: float) -> Measurement:
    return Measurement(A, Status.OK, secs, build_secs=1.0, elapsed_secs=1.5)


def test_a_member_that_mostly_ran_has_the_times_of_the_visits_that_did() -> None:
    crashed = Measurement(A, Status.RUN_ERROR, error="killed", build_secs=4.0, elapsed_secs=5.0)
    trial = tabular_trial(A, [ran(1.0, 2.0), crashed, ran(3.0, 4.0)])
    assert trial.run_secs == (1.0, 2.0, 3.0, 4.0)
    assert (trial.build_secs, trial.benchmark_secs) == (1.0, 0.5)


def test_a_member_that_mostly_failed_has_failed() -> None:
    crashed = Measurement(A, Status.RUN_ERROR, error="killed", elapsed_secs=5.0)
    trial = tabular_trial(A, [crashed, ran(1.0, 2.0)])
    assert trial.status is Status.RUN_ERROR
    assert trial.run_secs == ()
    assert trial.error == "killed"
