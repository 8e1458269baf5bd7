"""What every records database must pass.

Subclass `DatabaseSuite` in a test module, say how yours is opened, and let pytest find the class:

    class TestMyDatabase(DatabaseSuite):
        open = staticmethod(my_package.open_in_folder)

Other processes open the same database, so the function must belong to a module that they can import (test modules often
cannot be). One writer is killed in the middle.
"""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import time
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import replace
from multiprocessing.connection import Connection
from pathlib import Path

from flextune.csp.assignment import Assignment
from flextune.database.database import Database, News, Position
from flextune.database.overview import overviews_of
from flextune.database.store import open_database
from flextune.plan.alternative import FUSED, PARTS, Alternative
from flextune.plan.layouts.layout_assignment import LayoutAssignment
from flextune.quantities import MEASURED_SECONDS, CostOrigin, Scale, Unit
from flextune.trial.decision import (
    AlternativeTime,
    Decision,
    GroupDecision,
    LayoutDecision,
    LayoutTime,
    Shipped,
    Verdict,
)
from flextune.trial.evidence import best_record
from flextune.trial.measurement import Status
from flextune.trial.record import Evidence, TuningRecord

WORKLOAD = "0123456789abcdef"
TARGET = "x86:cpu=znver4,cores=2,features=sse4+avx2"


def example_record(
    tile: int,
    secs: float | None = 0.001,
    workload_key: str = WORKLOAD,
    target_key: str = TARGET,
    seed: int = 0,
    error: str = "",
    evidence: Evidence = Evidence.TRIAL,
) -> TuningRecord:
    """A record of one tile size; `secs=None` is a failed trial."""
    return TuningRecord(
        workload="gemm:m=64,n=64,k=64,dtype=float32",
        body=None,
        constants=(),
        workload_key=workload_key,
        target=target_key,
        target_key=target_key,
        trace='[["split", "i", ["tile"]]]',
        assignment=f"tile={tile},unroll=1",
        status=Status.OK if secs is not None else Status.RUN_ERROR,
        run_secs=(secs, secs, secs) if secs is not None else (),
        error=error or ("" if secs is not None else "killed by signal 11"),
        build_secs=0.05,
        elapsed_secs=0.1,
        max_error=0.0,
        protocol="repeats=3",
        versions="flextune=0.1.0",
        seed=seed,
        strategy="random",
        strategy_options=(("restarts", "2"),),
        cost_model="trees",
        evidence=evidence,
        host="example",
        created="2025-01-31T12:00:00+00:00",
    )


def open_sqlite(folder: Path) -> Database:
    """The default kind of database, as the suite wants it opened."""
    return open_database(folder / "records.db")


def example_decision(group: str, chosen: str, target: str = "here") -> GroupDecision:
    """A decision between two alternatives of a group."""
    return GroupDecision(
        key=group,
        target_key=target,
        model="net",
        reason="measured",
        created="2026-01-01T00:00:00+00:00",
        operators="conv2d + relu",
        pattern="convolution",
        chosen=Alternative.parse(chosen),
        alternatives=tuple(AlternativeTime(each, 2e-6, 1e-6, (f"{group}-{each}",)) for each in (FUSED, PARTS)),
    )


def example_layouts(key: str, chosen: str = "NCHW16c:0-2,5") -> LayoutDecision:
    """A decision between NHWC and other layouts."""
    texts = ("NHWC", "NCHW16c:0-2,5", "NCHW>NHWC:0 NCHW16c:1,2")
    return LayoutDecision(
        key=key,
        target_key="here",
        model="net",
        reason="measured",
        created="2026-01-01T00:00:00+00:00",
        groups=12,
        free_groups=6,
        chosen=LayoutAssignment.parse(chosen),
        tried=tuple(LayoutTime(LayoutAssignment.parse(text), 2e-3, None) for text in texts),
    )


def example_verdict(key: str, shipped: Shipped = Shipped.TUNED) -> Verdict:
    """A verdict after both builds were timed."""
    return Verdict(
        key=key,
        target_key="here",
        model="net",
        reason="measured",
        created="2026-01-01T00:00:00+00:00",
        shipped=shipped,
        kernels=7,
        predicted_secs=1e-3,
        default_secs=2e-3,
        tuned_secs=1.5e-3,
    )


class DatabaseSuite(ABC):
    """Tests of the contract of `Database`. Each gets an empty folder."""

    writers = 3
    records_per_writer = 40

    @abstractmethod
    def open(self, folder: Path) -> Database:
        """Open the database in this folder; the same one each time, from any process."""

    def test_keeps_every_field_in_order(self, tmp_path: Path) -> None:
        first, second = example_record(2), example_record(4, secs=None, error='line one\n"two" é')
        with self.open(tmp_path) as database:
            assert database.commit(first)
            assert database.commit(second)
            assert database.records() == [first, second]

    def test_keeps_records_when_opened_again(self, tmp_path: Path) -> None:
        with self.open(tmp_path) as database:
            database.commit_all(example_record(tile) for tile in range(1, 6))
        with self.open(tmp_path) as database:
            assert [record.assignment for record in database.records()] == [f"tile={n},unroll=1" for n in range(1, 6)]

    def test_same_record_is_stored_once(self, tmp_path: Path) -> None:
        with self.open(tmp_path) as database:
            assert database.commit(example_record(2))
            assert not database.commit(example_record(2))
            assert database.commit_all([example_record(2), example_record(3), example_record(3)]) == 1
            assert len(database.records()) == 2

    def test_the_latest_decision_on_a_group_counts(self, tmp_path: Path) -> None:
        with self.open(tmp_path) as database:
            assert database.decisions(Decision) == []
            database.decide([example_decision("a", "fused"), example_decision("b", "parts")])
            database.decide([example_decision("a", "parts"), example_decision("a", "fused", target="elsewhere")])
        with self.open(tmp_path) as database:
            chosen = {each.key: each.chosen for each in database.decisions(GroupDecision, "here")}
            assert chosen == {"a": PARTS, "b": PARTS}
            assert len(database.decisions(Decision)) == 3

    def test_each_kind_of_decision_is_found_by_itself(self, tmp_path: Path) -> None:
        group, layouts, verdict = example_decision("k", "fused"), example_layouts("k"), example_verdict("k")
        with self.open(tmp_path) as database:
            database.decide([example_layouts("k", "NHWC"), verdict, layouts, group])
        with self.open(tmp_path) as database:
            assert database.decisions(GroupDecision) == [group]
            assert database.decisions(LayoutDecision, "here", "k") == [layouts]
            assert database.decision(Verdict, "here", "k") == verdict
            assert database.decision(Verdict, "here", "other") is None
            assert database.decision(Verdict, "elsewhere", "k") is None
            assert set(database.decisions(Decision)) == {group, layouts, verdict}

    def test_selects_by_workload_and_target(self, tmp_path: Path) -> None:
        other = example_record(2, workload_key="other")
        elsewhere = example_record(2, target_key="x86:cpu=znver3,cores=2")
        with self.open(tmp_path) as database:
            database.commit_all([example_record(2), other, elsewhere])
            assert database.records(WORKLOAD, TARGET) == [example_record(2)]
            assert database.records("other") == [other]
            assert database.records(target_key=elsewhere.target_key) == [elsewhere]
            assert database.records("unknown") == []

    def test_best_is_the_fastest_ok_one(self, tmp_path: Path) -> None:
        with self.open(tmp_path) as database:
            assert database.best(WORKLOAD, TARGET) is None
            database.commit(example_record(1, secs=None))
            assert database.best(WORKLOAD, TARGET) is None
            database.commit_all([example_record(2, 0.3), example_record(3, 0.1), example_record(4, 0.2)])
            database.commit(example_record(5, 0.01, workload_key="other"))
            assert database.best(WORKLOAD, TARGET) == example_record(3, 0.1)

    def test_latest_measurement_of_a_candidate_counts(self, tmp_path: Path) -> None:
        with self.open(tmp_path) as database:
            database.commit_all([example_record(2, 0.1), example_record(3, 0.2), example_record(2, 0.3, seed=1)])
            assert database.best(WORKLOAD, TARGET) == example_record(3, 0.2)
            database.commit(example_record(3, None, seed=1))
            assert database.best(WORKLOAD, TARGET) == example_record(2, 0.3, seed=1)

    def test_when_it_was_measured_says_what_is_the_latest(self, tmp_path: Path) -> None:
        """Not when it arrived: what another database has measured earlier may come at any time."""
        late, early, future = "2025-02-02T10:00:00+00:00", "2025-02-02T10:30:00+02:00", "2125-01-01T00:00:00+00:00"
        latest = replace(example_record(2, 0.3), created=late)
        before = replace(example_record(2, 0.1), created=early)
        wrong = replace(example_record(2, 0.05), created=future)
        compared = [replace(example_record(tile, 0.4, evidence=Evidence.FINALIST), created=late) for tile in (4, 5)]
        trials = [replace(example_record(tile, 0.2), created=early) for tile in (4, 5)]
        with self.open(tmp_path) as database:
            database.commit_all([latest, *compared])
            position = database.news(Position()).position
            database.commit_all([before, *trials])
            assert database.records() == [before, *trials, latest, *compared]
            assert best_record(database.records()) == compared[0]
            assert database.news(position).records == (before, *trials)
            assert database.best(WORKLOAD, TARGET) == latest
            database.commit(wrong)
            with warnings.catch_warnings(record=True) as told:
                warnings.simplefilter("always")
                assert database.records()[0] == wrong
            assert any("a time in the future, such as 2125-01-01" in str(each.message) for each in told)
            assert database.best(WORKLOAD, TARGET) == latest
            (overview,) = database.overviews()
            assert (overview.first, overview.latest, best_record(overview.deciding)) == (wrong, late, compared[0])

    def test_when_it_was_decided_says_which_decision_counts(self, tmp_path: Path) -> None:
        now, early, future = (f"{year}-02-01T00:00:00+00:00" for year in (2026, 2024, 2126))
        with self.open(tmp_path) as database:
            database.decide([replace(example_decision("a", "fused"), created=now)])
            database.decide([replace(example_decision("a", "parts"), created=early)])
            database.decide([replace(example_decision("a", "parts"), created=future)])
            assert [each.chosen for each in database.decisions(GroupDecision)] == [FUSED]

    def test_measured_lists_each_assignment_once(self, tmp_path: Path) -> None:
        with self.open(tmp_path) as database:
            database.commit_all([example_record(4), example_record(2, None), example_record(4, 0.5, seed=1)])
            expected = (Assignment.parse("tile=4,unroll=1"), Assignment.parse("tile=2,unroll=1"))
            assert database.measured(WORKLOAD, TARGET) == expected

    def test_overviews_say_what_the_records_say(self, tmp_path: Path) -> None:
        rng = random.Random(3)
        with self.open(tmp_path) as database:
            for _ in range(12):
                database.commit_all(_history(rng))
                records = database.records()
                found = database.overviews(causes=True)
                assert found == overviews_of(records, causes=True)
                for each in found:
                    alike = (each.workload_key, each.first.scale)
                    own = [record for record in records if (record.workload_key, record.scale) == alike]
                    assert best_record(each.deciding) == best_record(own)
                    assert each.deciding[0] == own[0]
                    assert each.deciding[-1] == own[-1]
                    assert each.failed == sum(not last.measurement.ok for last in {r.key: r for r in own}.values())
                    assert each in database.overviews(each.workload_key, TARGET, causes=True)
            assert database.overviews("unknown") == []

    def test_news_are_what_came_since(self, tmp_path: Path) -> None:
        with self.open(tmp_path) as database, self.open(tmp_path) as other:
            empty = database.news(Position())
            assert (empty.records, database.news(empty.position)) == ((), empty)
            other.commit_all([example_record(1), example_record(2)])
            first = database.news(empty.position)
            assert first.records == (example_record(1), example_record(2))
            assert database.news(first.position) == News((), first.position)
            other.decide([example_verdict("v")])
            decided = database.news(first.position)
            assert (decided.records, decided.position.record) == ((), first.position.record)
            assert decided.position.decision != first.position.decision
            other.commit(example_record(3, None))
            assert database.news(decided.position).records == (example_record(3, None),)
            assert database.news(Position()).records == tuple(database.records())

    def test_several_processes_write_at_once(self, tmp_path: Path) -> None:
        writers = [_Writer(self, tmp_path, seed, self.records_per_writer) for seed in range(self.writers)]
        acknowledged = [writer.wait() for writer in writers]
        assert acknowledged == [self.records_per_writer] * self.writers
        with self.open(tmp_path) as database:
            found = database.records()
        assert len(found) == self.writers * self.records_per_writer
        for seed in range(self.writers):
            expected = [_numbered(seed, n).assignment for n in range(self.records_per_writer)]
            assert [record.assignment for record in found if record.seed == seed] == expected

    def test_killed_writer_loses_at_most_the_record_in_flight(self, tmp_path: Path) -> None:
        writer = _Writer(self, tmp_path, seed=0, count=100_000)
        acknowledged = writer.kill_after(20)
        with self.open(tmp_path) as database:
            found = database.records()
            assert found == [_numbered(0, n) for n in range(len(found))]
            assert acknowledged <= len(found) <= acknowledged + 1
            assert database.commit(example_record(7, seed=9))


def _history(rng: random.Random) -> list[TuningRecord]:
    """Some trials of two workloads, perhaps with a comparison after them; candidates and times occur again."""
    workload = rng.choice(("a", "b"))
    count = rng.randint(1, 6)
    trials = [
        example_record(rng.randint(1, 5), rng.choice((None, 0.1, 0.2, 0.3)), workload, seed=rng.randint(0, 99))
        for _ in range(count)
    ]
    compared = [
        example_record(rng.randint(1, 5), rng.choice((None, 0.15, 0.2)), workload, evidence=Evidence.FINALIST, seed=n)
        for n in range(rng.choice((0, 3)))
    ]
    scale = rng.choice((MEASURED_SECONDS, Scale(Unit.INSTRUCTIONS, CostOrigin.SIMULATED)))
    hour = rng.choice((9, 10, 11))
    records = (replace(each, unit=scale.unit, origin=scale.origin) for each in (*trials, *compared))
    return [
        replace(each, created=f"2025-01-31T{hour:02d}:{minute:02d}:00+00:00") for minute, each in enumerate(records)
    ]


class _Writer:
    """Another process that commits one record after the other and reports each when it is stored."""

    def __init__(self, suite: DatabaseSuite, folder: Path, seed: int, count: int) -> None:
        processes = multiprocessing.get_context("spawn")
        self._reports, reports = processes.Pipe(duplex=False)
        self._process = processes.Process(target=_write, args=(suite.open, folder, seed, count, reports), daemon=True)
        self._process.start()
        reports.close()

    def wait(self) -> int:
        """Wait for its end and return how many records it has reported."""
        reported = self._drained()
        self._process.join(60)
        return reported

    def kill_after(self, count: int) -> int:
        """Kill it, without warning, some time after it has reported `count`; return how many it has reported in all."""
        for _ in range(count):
            self._reports.recv()
        time.sleep(0.003)
        assert self._process.pid is not None
        os.kill(self._process.pid, signal.SIGKILL)
        self._process.join(60)
        return count + self._drained()

    def _drained(self) -> int:
        reported = 0
        try:
            while True:
                self._reports.recv()
                reported += 1
        except EOFError:
            return reported


def _numbered(seed: int, number: int) -> TuningRecord:
    return example_record(number + 1, seed=seed, secs=0.001 * (number + 1))


def _write(opened: Callable[[Path], Database], folder: Path, seed: int, count: int, reports: Connection) -> None:
    with opened(folder) as database:
        for number in range(count):
            database.commit(_numbered(seed, number))
            reports.send(number)
