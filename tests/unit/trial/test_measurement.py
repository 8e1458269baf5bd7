"""Candidates and measurements."""

import math

from flextune.csp.assignment import Assignment
from flextune.schedule.trace import Trace
from flextune.target.target import Target
from flextune.trial.measurement import Candidate, Measurement, Status
from flextune.workload.parse import parse_workload


def candidate(text: str, workload: str = "gemm:m=4,n=4,k=4", target: str = "x86:cpu=znver3,cores=2") -> Candidate:
    return Candidate(parse_workload(workload), Target.parse(target), Trace(()), Assignment.parse(text))


def test_secs_is_the_median_of_a_program_that_ran() -> None:
    assignment = Assignment({})
    assert Measurement(assignment, Status.OK, (3.0, 1.0, 2.0)).secs == 2.0
    assert Measurement(assignment, Status.WRONG_OUTPUT, (1.0,)).secs == math.inf
    assert Measurement(assignment, Status.RUN_ERROR).secs == math.inf


def test_key_follows_the_program() -> None:
    key = candidate("a=1,b=2").key
    assert key == candidate("b=2,a=1").key
    assert key == candidate("a=1,b=2", target="x86:cpu=znver3,cores=2,memory=7").key
    others = (
        candidate("a=1,b=3"),
        candidate("a=1,b=2", workload="gemm:m=4,n=4,k=8"),
        candidate("a=1,b=2", target="x86:cpu=znver3,cores=4"),
    )
    assert len({key, *(other.key for other in others)}) == 4
