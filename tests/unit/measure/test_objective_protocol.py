"""Which verdicts hold under other limits than those they were made with."""

import pytest

from flextune.csp.assignment import Assignment
from flextune.measure.objective_protocol import ObjectiveProtocol
from flextune.trial.measurement import Measurement, Status

HERE = Assignment({"x": 1})


def ran(numbers=(1.0,), secs=2.0):
    return Measurement(HERE, Status.OK, numbers, elapsed_secs=secs)


def failed(status):
    return Measurement(HERE, status, error="why")


def test_text_form():
    for protocol in (ObjectiveProtocol(), ObjectiveProtocol(3, 0.5, 10.0, 64, False)):
        assert ObjectiveProtocol.parse(str(protocol)) == protocol
    assert ObjectiveProtocol.parse("repeats=2,timeout_secs=60") == ObjectiveProtocol(2, 60.0)


@pytest.mark.parametrize(
    ("measurement", "made", "now", "holds"),
    [
        (ran(), {}, {}, True),
        (ran(), {"repeats": 1}, {"repeats": 2}, False),
        (ran((1.0, 2.0, 3.0)), {"repeats": 3}, {"repeats": 2}, True),
        (ran(), {"timeout_secs": 1.0}, {"timeout_secs": 5.0}, True),
        (ran(secs=4.0), {"timeout_secs": 60.0}, {"timeout_secs": 5.0}, True),
        (ran(secs=6.0), {"timeout_secs": 60.0}, {"timeout_secs": 5.0}, False),
        (failed(Status.RUN_TIMEOUT), {"timeout_secs": 1.0}, {"timeout_secs": 5.0}, False),
        (failed(Status.RUN_TIMEOUT), {"timeout_secs": 5.0}, {"timeout_secs": 1.0}, True),
        (failed(Status.BUILD_TIMEOUT), {"build_timeout_secs": 5.0}, {"build_timeout_secs": 9.0}, False),
        (failed(Status.OUT_OF_MEMORY), {"memory_mib": 10}, {"memory_mib": 10}, True),
        (failed(Status.OUT_OF_MEMORY), {"memory_mib": 10}, {"memory_mib": 20}, False),
        (failed(Status.OUT_OF_MEMORY), {}, {"memory_mib": 20}, False),
        (failed(Status.RUN_ERROR), {}, {"timeout_secs": 20.0}, True),
    ],
)
def test_what_holds(measurement, made, now, holds):
    assert ObjectiveProtocol(**now).accepts(measurement, ObjectiveProtocol(**made)) is holds
