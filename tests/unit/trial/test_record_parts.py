"""Records in two parts: what is put together again is the same record."""

import json
import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flextune.errors import UsageError
from flextune.testing.databases import example_record
from flextune.trial.measurement import Status
from flextune.trial.record import OBJECTIVE, TuningRecord
from flextune.trial.record_parts import CommonPart, parts_of

NUMBERS = st.floats(allow_nan=False, allow_infinity=False)
MEASURED = example_record(4)
TRIED = replace(
    MEASURED,
    workload=f"{OBJECTIVE}f",
    body="what it is",
    trace='{"x": [1.5, 2], "a word": ["a", "b"]}',
    assignment="x=1,parameter_1=0",
    metrics=(("secs", 2.0), ("bytes", -1.0)),
)
OLD = replace(MEASURED, strategy_options=None, cost_model_options=None)


@pytest.mark.parametrize(
    "record",
    [
        MEASURED,
        TRIED,
        OLD,
        replace(MEASURED, assignment=""),
        replace(MEASURED, assignment="j=2,i=-16"),
        replace(MEASURED, assignment="i=02, j=3"),
        replace(MEASURED, assignment="i=1,i=2"),
        replace(MEASURED, max_error=math.inf, constants=(1, 2), error='"é\n\x00'),
    ],
    ids=str,
)
def test_the_parts_make_the_record(record: TuningRecord) -> None:
    parts = parts_of(record)
    assert CommonPart(parts.common).record(parts.own) == record


@given(
    status=st.sampled_from(list(Status)),
    error=st.text(),
    run_secs=st.lists(NUMBERS, min_size=1),
    times=st.tuples(NUMBERS, NUMBERS, st.floats(allow_nan=False)),
    metrics=st.dictionaries(st.text(), NUMBERS),
    code=st.sampled_from([0, 1]),
)
def test_whatever_came_of_a_trial(status, error, run_secs, times, metrics, code) -> None:
    build_secs, elapsed_secs, max_error = times
    record = replace(
        TRIED,
        status=status,
        error=error,
        run_secs=tuple(run_secs),
        build_secs=build_secs,
        elapsed_secs=elapsed_secs,
        max_error=abs(max_error),
        metrics=tuple(metrics.items()),
        assignment=f"x={code},parameter_1={1 - code}",
    )
    parts = parts_of(record)
    assert parts.common == parts_of(TRIED).common
    assert CommonPart(parts.common).record(parts.own) == record


def test_what_is_the_same_in_a_run_is_common() -> None:
    others = [example_record(tile, secs) for tile, secs in ((1, 0.5), (2, None), (128, 3.0))]
    assert {parts_of(record).common for record in others} == {parts_of(MEASURED).common}
    assert parts_of(replace(MEASURED, seed=1)).common != parts_of(MEASURED).common


def test_values_that_the_parameters_do_not_have_are_refused() -> None:
    parts = parts_of(TRIED)
    own = json.dumps({**json.loads(parts.own), "values": [7, 0]})
    with pytest.raises(UsageError, match="7 stands for none of its values"):
        CommonPart(parts.common).record(own)
