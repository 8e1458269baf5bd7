"""What every runner must pass.

Subclass `RunnerSuite` in a test module, say how yours is opened and what it can measure, and let pytest find the class:

    class TestMyRunner(RunnerSuite):
        open = staticmethod(my_package.open_runner)
        working = my_package.three_candidates

`recorded` makes records of candidates, for runners that answer from them.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Generator, Mapping, Sequence
from contextlib import AbstractContextManager, closing

from flextune.csp.assignment import Assignment
from flextune.measure.runner import Runner
from flextune.schedule.trace import Trace
from flextune.target.target import Target
from flextune.trial.measurement import Candidate, Measurement, Status
from flextune.trial.record import Provenance, TuningRecord
from flextune.workload.parse import parse_workload

NULL = Target.parse("null:cpu=none,cores=2")


def null_candidate(rows: int, fault: int = 0, workload: str = "gemm:m=16,n=16,k=16") -> Candidate:
    """A candidate of the null platform, perhaps with one of its faults, which strike for real."""
    assignment = Assignment({"rows": rows, "fault": fault})
    return Candidate(parse_workload(workload), NULL, Trace(()), assignment)


def recorded(candidate: Candidate, status: Status = Status.OK, secs: float = 1e-3) -> TuningRecord:
    """A record of a candidate, as a run would have left it: of three repeats, or of a failure."""
    ok = status is Status.OK
    run_secs = (secs, 1.01 * secs, 1.02 * secs) if ok else ()
    error = "" if ok else f"it ended as {status}"
    measurement = Measurement(candidate.assignment, status, run_secs, error, build_secs=0.05, elapsed_secs=0.2)
    return TuningRecord.of(candidate, measurement, Provenance("repeats=3", "flextune=0.1.0", 0, "random", "example"))


class RunnerSuite(ABC):
    """Tests of the contract of `Runner`; each opens one."""

    working: Sequence[Candidate]
    """At least three candidates of one workload that run."""

    failing: Mapping[Candidate, Status]
    """Candidates of the same workload that do not, and what comes of them."""

    other: Candidate
    """One of another workload that runs."""

    @abstractmethod
    def open(self) -> AbstractContextManager[Runner]:
        """A runner that can measure all of these."""

    def test_one_measurement_per_candidate_in_order(self) -> None:
        with self.open() as runner:
            measured = list(runner.measure(self.working))
        assert [measurement.assignment for measurement in measured] == [each.assignment for each in self.working]
        assert [(measurement.status, measurement.error) for measurement in measured] == [(Status.OK, "")] * len(
            measured
        )
        for measurement in measured:
            assert measurement.run_secs
            assert all(0 < secs < math.inf for secs in measurement.run_secs)
            assert 0 <= measurement.build_secs < math.inf
            assert 0 <= measurement.elapsed_secs < math.inf

    def test_a_failure_is_a_measurement_and_the_next_ones_run(self) -> None:
        for failing, status in self.failing.items():
            with self.open() as runner:
                before, failed, after = runner.measure([self.working[0], failing, self.working[1]])
            assert (before.ok, after.ok) == (True, True)
            assert failed.assignment == failing.assignment
            assert failed.status is status
            assert failed.error
            assert failed.secs == math.inf

    def test_nothing_asked_nothing_answered(self) -> None:
        with self.open() as runner:
            assert list(runner.measure([])) == []
            assert runner.compare([], 3) == []

    def test_a_candidate_asked_twice_is_answered_twice(self) -> None:
        with self.open() as runner:
            measured = list(runner.measure([self.working[0], self.working[0]]))
            assert [measurement.ok for measurement in measured] == [True, True]
            assert [each.ok for each in runner.compare([self.working[0], self.working[0]], 2)] == [True, True]

    def test_several_workloads_in_one_call(self) -> None:
        asked = [self.working[0], self.other, self.working[1], self.other]
        with self.open() as runner:
            measured = list(runner.measure(asked))
        assert [measurement.assignment for measurement in measured] == [each.assignment for each in asked]
        assert all(measurement.ok for measurement in measured)

    def test_measuring_can_be_given_up(self) -> None:
        with self.open() as runner:
            with closing(_generator(runner, self.working)) as started:
                assert next(started).ok
            assert [measurement.ok for measurement in runner.measure(self.working)] == [True] * len(self.working)

    def test_far_behind_the_incumbent_it_still_ran(self) -> None:
        with self.open() as runner:
            (measurement,) = runner.measure([self.working[0]], incumbent_secs=1e-9)
        assert measurement.ok
        assert len(measurement.run_secs) >= 1

    def test_a_comparison_has_a_time_per_round(self) -> None:
        failing, status = next(iter(self.failing.items()))
        asked = [self.working[0], failing, self.working[2]]
        with self.open() as runner:
            for rounds in (1, 5):
                compared = runner.compare(asked, rounds)
                assert [each.assignment for each in compared] == [each.assignment for each in asked]
                assert [each.status for each in compared] == [Status.OK, status, Status.OK]
                assert [len(each.run_secs) for each in compared] == [rounds, 0, rounds]


def _generator(runner: Runner, candidates: Sequence[Candidate]) -> Generator[Measurement, None, None]:
    """The same as something that can be closed."""
    yield from runner.measure(candidates)
