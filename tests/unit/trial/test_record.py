"""Tuning records: round trips, and clear errors for damaged ones."""

import json
import math
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flextune.csp.assignment import Assignment
from flextune.errors import UsageError
from flextune.schedule.trace import Trace
from flextune.target.target import Target
from flextune.trial.format_1 import values_of_format_1
from flextune.trial.measurement import Candidate, Measurement, Status
from flextune.trial.record import Evidence, Provenance, TuningRecord, installed_versions
from flextune.workload.parse import parse_workload

WORKLOAD = parse_workload("gemm:m=4,n=4,k=4")
TARGET = Target.parse("x86:cpu=znver3,cores=2,memory=1024")
PROVENANCE = Provenance("repeats=5", "flextune=0,tvm=0", 7, "random", "host-a")


def record(measurement: Measurement | None = None) -> TuningRecord:
    assignment = Assignment({"i": 2, "j": 16})
    ok = Measurement(assignment, Status.OK, (0.5, 0.25), build_secs=0.1, elapsed_secs=0.2, max_error=1e-7)
    candidate = Candidate(WORKLOAD, TARGET, Trace(()), assignment)
    return TuningRecord.of(candidate, measurement or ok, PROVENANCE, datetime(2025, 1, 31, 12, tzinfo=UTC))


def test_holds_what_rebuilds_the_candidate() -> None:
    kept = record()
    assert parse_workload(kept.workload, kept.body) == WORKLOAD
    assert Target.parse(kept.target) == TARGET
    assert kept.target_key == TARGET.key
    assert Trace.from_json(kept.trace) == Trace(())
    assert kept.key == Candidate(WORKLOAD, TARGET, Trace(()), Assignment({"j": 16, "i": 2})).key
    assert kept.created == "2025-01-31T12:00:00+00:00"
    assert kept.measurement == Measurement(Assignment({"i": 2, "j": 16}), Status.OK, (0.5, 0.25), "", 0.1, 0.2, 1e-7)
    assert kept.secs == 0.375


def test_round_trips_on_one_line() -> None:
    line = record().to_json()
    assert "\n" not in line
    assert TuningRecord.from_json(line) == record()


@given(
    status=st.sampled_from([status for status in Status if status is not Status.OK]),
    error=st.text(),
    max_error=st.floats(min_value=0, allow_nan=False),
    run_secs=st.lists(st.floats(min_value=1e-9, max_value=1e9)),
)
def test_failures_round_trip(status: Status, error: str, max_error: float, run_secs: list[float]) -> None:
    failed = Measurement(Assignment({}), status, tuple(run_secs), error, max_error=max_error)
    kept = record(failed)
    assert TuningRecord.from_json(kept.to_json()) == kept
    assert kept.secs == math.inf


def damaged(**changes: object) -> str:
    values = {**json.loads(record().to_json()), **changes}
    return json.dumps({name: value for name, value in values.items() if value != "remove"})


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"format": 1', "one JSON object"),
        ("[]", "got list"),
        ("\x00\x01", "one JSON object"),
        (damaged(format=3), "'format' 1 or 2, got 3"),
        (damaged(format="remove"), "'format' 1 or 2, got None"),
        (damaged(format=1, seed="remove"), "lacks 'seed'"),
        (damaged(format=1, evidence="trial"), "unknown field 'evidence'"),
        (damaged(format=1, strategy=3), "'strategy' of the record: expected str, got 3"),
        (damaged(evidence="hearsay"), "'evidence' of the record"),
        (damaged(model="net"), "'model' is 'net', but 'evidence' is"),
        (damaged(pretrained=1), "'pretrained' of the record: expected bool"),
        (damaged(strategy_options=["population", "8"]), "'strategy_options' of the record"),
        (damaged(cost_model_options={"loss": 1}), "'cost_model_options' of the record"),
        (damaged(seed="remove", host="remove"), "lacks 'seed', 'host'"),
        (damaged(sead=1), "unknown field 'sead'; did you mean 'seed'"),
        (damaged(seed=1.5), "'seed' of the record: expected int, got 1.5"),
        (damaged(seed=True), "'seed' of the record: expected int"),
        (damaged(status="fine"), "'status' of the record"),
        (damaged(run_secs=[]), "needs at least one time"),
        (damaged(run_secs=[0.0]), "positive, finite"),
        (damaged(run_secs=["1"]), "'run_secs' of the record"),
        (damaged(run_secs=0.5), "'run_secs' of the record"),
        (damaged(build_secs=None), "'build_secs' of the record"),
        (damaged(assignment="i=two"), "name=integer"),
        (damaged(created="yesterday"), "ISO time"),
        (damaged(created="2025-01-31T12:00:00"), "ISO time"),
        (damaged(body=3), "'body' of the record"),
    ],
)
def test_damage_is_named(line: str, message: str) -> None:
    with pytest.raises(UsageError, match=message.replace("[", r"\[")):
        TuningRecord.from_json(line)


def test_nan_in_a_line_is_refused() -> None:
    with pytest.raises(UsageError, match="run_secs"):
        TuningRecord.from_json(damaged(run_secs=[math.nan]))


def test_versions_name_the_code_generator() -> None:
    assert "tvm=0.27" in installed_versions()


def test_who_searched_and_how_it_was_timed_are_fields() -> None:
    assignment = Assignment({"i": 2, "j": 16})
    candidate = Candidate(WORKLOAD, TARGET, Trace(()), assignment)
    about = replace(
        PROVENANCE, strategy_options=(("population", "8"), ("rounds", "+")), cost_model="gp", pretrained=True
    )
    found = Measurement(assignment, Status.OK, (0.5,))
    kept = TuningRecord.of(candidate, found, about, evidence=Evidence.IN_MODEL, model="a, b")
    assert (kept.strategy, kept.cost_model, kept.cost_model_options) == ("random", "gp", ())
    assert json.loads(kept.to_json())["strategy_options"] == {"population": "8", "rounds": "+"}
    assert TuningRecord.from_json(kept.to_json()) == kept


def test_what_has_its_default_is_left_out_of_the_text() -> None:
    values = json.loads(record().to_json())
    assert not {"evidence", "model", "cost_model", "strategy_options", "pretrained"} & set(values)


def old_line(strategy: str, protocol: str) -> str:
    """A record as format 1 wrote it, by the names and the order of its fields."""
    values = json.loads(record().to_json()) | {"format": 1, "strategy": strategy, "protocol": protocol}
    return json.dumps(values, ensure_ascii=False)


@pytest.mark.parametrize(
    ("strategy", "expected"),
    [
        ("auto+gp (pretrained)", ("auto", "gp", True)),
        ("cga+none", ("cga", "none", False)),
        ("survey", ("survey", "", False)),
    ],
)
def test_the_search_of_format_1_becomes_fields(strategy: str, expected: tuple[str, str, bool]) -> None:
    kept = TuningRecord.from_json(old_line(strategy, "repeats=3"))
    assert (kept.strategy, kept.cost_model, kept.pretrained) == expected
    assert kept.strategy_options is None
    assert kept.cost_model_options is None
    assert (kept.evidence, kept.model, kept.protocol) == (Evidence.TRIAL, "", "repeats=3")


@pytest.mark.parametrize(
    ("protocol", "expected"),
    [
        ("final repeats=3", (Evidence.FINALIST, "", "repeats=3")),
        ("final inside net, repeats=3", (Evidence.IN_MODEL, "net", "repeats=3")),
        ("final inside net, of two, repeats=3", (Evidence.IN_MODEL, "net, of two", "repeats=3")),
        ("finally repeats=3", (Evidence.TRIAL, "", "finally repeats=3")),
    ],
)
def test_the_evidence_of_format_1_becomes_a_field(protocol: str, expected: tuple[Evidence, str, str]) -> None:
    kept = TuningRecord.from_json(old_line("random+none", protocol))
    assert (kept.evidence, kept.model, kept.protocol) == expected


_SAMPLES = st.sampled_from(["", "a", "a+b", "a+", "+b", "a+b+c", "a (pretrained)", "a+b (pretrained)", " (pretrained)"])
_PROTOCOLS = st.sampled_from(["", "final ", "final inside ", "final inside a", "final inside , ", "inside a, b"])


@given(strategy=st.text() | _SAMPLES, protocol=st.text() | _PROTOCOLS)
def test_nothing_of_format_1_is_lost(strategy: str, protocol: str) -> None:
    line = old_line(strategy, protocol)
    kept = TuningRecord.from_json(line)
    assert TuningRecord.from_json(kept.to_json()) == kept
    assert json.dumps(values_of_format_1(kept.json_values()), ensure_ascii=False) == line
