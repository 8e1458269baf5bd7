"""Real worker processes on the null platform: faults stay with their candidate."""

import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import psutil
import pytest

from flextune.csp.assignment import Assignment
from flextune.errors import EnvironmentFault, WorkerError
from flextune.measure import launcher
from flextune.measure.measure_options import MEBIBYTE, MeasureOptions
from flextune.measure.worker_pool import WorkerPool
from flextune.platforms.null.kernel import Fault, null_secs
from flextune.schedule.trace import Trace
from flextune.target.target import Target
from flextune.trial.measurement import Candidate, Status
from flextune.workload.parse import parse_workload
from flextune.workload.workload import Workload

pytestmark = [
    pytest.mark.xdist_group("workers"),
    pytest.mark.skipif(sys.platform != "linux", reason="workers are limited and killed as Linux allows"),
]

WORKLOAD = parse_workload("gemm:m=16,n=16,k=16")
OPTIONS = MeasureOptions(
    workers=2, build_timeout_secs=1.5, run_timeout_secs=1.5, memory_bytes=128 * MEBIBYTE, min_repeat_secs=0
)


def candidate(rows: int, fault: Fault = Fault.NONE, kind: str = "null", workload: Workload = WORKLOAD) -> Candidate:
    assignment = Assignment({"rows": rows, "fault": fault})
    return Candidate(workload, Target.parse(f"{kind}:cpu=none,cores=2"), Trace(()), assignment)


@pytest.fixture(scope="module")
def pool() -> Iterator[WorkerPool]:
    with WorkerPool(OPTIONS, cores=2) as workers:
        yield workers


FAULTS = [
    (Fault.BUILD_ERROR, Status.BUILD_ERROR, "BuildError: no code for this candidate"),
    (Fault.BUILD_CRASH, Status.BUILD_ERROR, "build: worker killed by SIGSEGV"),
    (Fault.BUILD_HANG, Status.BUILD_TIMEOUT, "build: no end after 1.5 s"),
    (Fault.BUILD_MEMORY, Status.OUT_OF_MEMORY, ""),
    (Fault.RUN_ERROR, Status.RUN_ERROR, "RuntimeError: illegal address"),
    (Fault.RUN_CRASH, Status.RUN_ERROR, "run: worker killed by SIGSEGV"),
    (Fault.RUN_HANG, Status.RUN_TIMEOUT, "run: no end after 1.5 s"),
    (Fault.RUN_MEMORY, Status.OUT_OF_MEMORY, ""),
    (Fault.WRONG_OUTPUT, Status.WRONG_OUTPUT, "output out is wrong in 1 of 256 elements"),
    (Fault.UNWRITTEN_OUTPUT, Status.WRONG_OUTPUT, "is nan, expected"),
    (Fault.OVERWRITTEN_INPUT, Status.WRONG_OUTPUT, "the program wrote into its input A"),
    (Fault.EXIT, Status.RUN_ERROR, "run: worker ended with exit code 3"),
    (Fault.NOISY, Status.OK, ""),
]


@pytest.mark.parametrize(("fault", "status", "error"), FAULTS, ids=[fault.name for fault, _, _ in FAULTS])
def test_a_fault_stays_with_its_candidate(pool: WorkerPool, fault: Fault, status: Status, error: str) -> None:
    candidates = [candidate(1), candidate(2, fault), candidate(3), candidate(4)]
    measurements = list(pool.measure(candidates))
    assert [measurement.assignment for measurement in measurements] == [each.assignment for each in candidates]
    assert [measurement.status for measurement in measurements] == [Status.OK, status, Status.OK, Status.OK]
    assert error in measurements[1].error
    for each, measurement in zip(candidates, measurements, strict=True):
        assert not measurement.ok or measurement.secs == pytest.approx(null_secs(each.assignment))
    assert measurements[1].elapsed_secs > 0


def test_the_largest_error_of_a_wrong_output(pool: WorkerPool) -> None:
    wrong, unwritten = pool.measure([candidate(1, Fault.WRONG_OUTPUT), candidate(1, Fault.UNWRITTEN_OUTPUT)])
    assert wrong.max_error == pytest.approx(1.0, rel=1e-5)
    assert unwritten.max_error == math.inf


def test_slow_candidates_stop_early_and_close_ones_get_more(pool: WorkerPool) -> None:
    secs = null_secs(candidate(1).assignment)
    for incumbent, repeats in ((secs / 1.8, 1), (secs / 9, 1), (secs, 10), (secs * 2, 5)):
        (measurement,) = pool.measure([candidate(1)], incumbent)
        assert len(measurement.run_secs) == repeats


def test_the_best_of_a_call_is_its_incumbent(pool: WorkerPool) -> None:
    by_speed = sorted(map(candidate, (1, 16, 2**20)), key=lambda each: null_secs(each.assignment))[::2]
    assert [len(measurement.run_secs) for measurement in pool.measure(by_speed)] == [5, 1]
    assert [len(measurement.run_secs) for measurement in pool.measure(by_speed[::-1])] == [3, 5]


def test_more_candidates_than_a_batch_and_no_candidates(pool: WorkerPool) -> None:
    candidates = [candidate(rows) for rows in range(1, 41)]
    assert [measurement.status for measurement in pool.measure(candidates)] == [Status.OK] * 40
    assert list(pool.measure([])) == []
    assert pool.compare([], 3) == []


def test_measuring_can_be_given_up(pool: WorkerPool) -> None:
    started = pool.measure([candidate(rows) for rows in range(1, 10)])
    next(started)
    started.close()  # type: ignore[attr-defined]
    (measurement,) = pool.measure([candidate(1)])
    assert measurement.ok


def test_an_interrupt_leaves_the_pool_usable(pool: WorkerPool) -> None:
    def interrupt(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    previous = signal.signal(signal.SIGALRM, interrupt)
    try:
        for fault in (Fault.BUILD_HANG, Fault.RUN_HANG):
            signal.setitimer(signal.ITIMER_REAL, 0.2)
            with pytest.raises(KeyboardInterrupt):
                list(pool.measure([candidate(1), candidate(2, fault), candidate(3)]))
            assert [measurement.ok for measurement in pool.measure([candidate(1), candidate(2)])] == [True, True]
    finally:
        signal.signal(signal.SIGALRM, previous)


def test_finalists_are_compared_in_turns(pool: WorkerPool) -> None:
    candidates = [candidate(1), candidate(2, Fault.RUN_CRASH), candidate(3, Fault.WRONG_OUTPUT), candidate(4)]
    measurements = pool.compare(candidates, rounds=3)
    expected = [Status.OK, Status.RUN_ERROR, Status.WRONG_OUTPUT, Status.OK]
    assert [measurement.status for measurement in measurements] == expected
    assert [len(measurement.run_secs) for measurement in measurements] == [3, 0, 0, 3]


def test_a_second_comparison_keeps_the_kernels_of_the_first(pool: WorkerPool) -> None:
    fresh = partial(candidate, workload=parse_workload("gemm:m=8,n=16,k=16"))  # no other test has left kernels of it
    first = pool.compare([fresh(1), fresh(2)], rounds=2)
    second = pool.compare([fresh(2), fresh(3)], rounds=2)
    assert second[0].build_secs == first[1].build_secs
    crashed = pool.compare([fresh(2), fresh(4, Fault.RUN_CRASH)], rounds=1)
    assert [measurement.ok for measurement in crashed] == [True, False]
    again = pool.compare([fresh(2), fresh(1)], rounds=1)  # the crash took all kernels with it
    assert [measurement.ok for measurement in again] == [True, True]
    (fourth,) = pool.measure([candidate(1)])
    assert fourth.ok
    (other,) = pool.compare([candidate(1, workload=parse_workload("gemm:m=4,n=8,k=2,dtype=uint8"))], 1)
    assert other.ok


def test_a_comparison_takes_the_kernels_that_trials_left(pool: WorkerPool) -> None:
    """Of the four fastest, one of two workers has built two at least."""
    fresh = parse_workload("gemm:m=16,n=8,k=16")  # no other test has left kernels of it
    candidates = [candidate(rows, workload=fresh) for rows in range(1, 9)]
    by_speed = sorted(zip(candidates, pool.measure(candidates), strict=True), key=lambda pair: pair[1].secs)
    compared = pool.compare([each for each, _ in by_speed[:4]], rounds=2)
    taken = [final.build_secs == trial.build_secs for final, (_, trial) in zip(compared, by_speed[:4], strict=True)]
    assert sum(taken) >= 2
    assert all(len(final.run_secs) == 2 for final in compared)
    slowest, measured = by_speed[-1]
    assert pool.compare([slowest], rounds=1)[0].build_secs != measured.build_secs


def test_kernels_that_died_with_their_worker_are_not_kept(pool: WorkerPool) -> None:
    """They would keep the places of slower ones that live."""
    fresh = partial(candidate, workload=parse_workload("gemm:m=8,n=8,k=16"))
    by_speed = sorted(map(fresh, range(1, 9)), key=lambda each: null_secs(each.assignment))
    list(pool.measure(by_speed[:4]))
    _kill_workers(pool)
    trials = list(pool.measure(by_speed[4:6]))
    finals = pool.compare(by_speed[4:6], rounds=1)
    assert any(final.build_secs == trial.build_secs for final, trial in zip(finals, trials, strict=True))


def test_a_worker_killed_while_idle_is_nobodys_fault(pool: WorkerPool) -> None:
    pool.start()
    _kill_workers(pool)
    measurements = list(pool.measure([candidate(1), candidate(2)]))
    assert [measurement.status for measurement in measurements] == [Status.OK] * 2


def test_a_worker_killed_while_it_runs_is_nobodys_fault(pool: WorkerPool) -> None:
    """Once: who runs out of memory when nobody watches is killed again."""
    pool.start()
    server = psutil.Process(pool.worker_pids[0]).parent()
    assert server is not None

    def kill(number: int, frame: object) -> None:  # asks the system who runs: the pool is in the middle of something
        for worker in server.children():
            worker.kill()

    previous = signal.signal(signal.SIGALRM, kill)
    try:
        for kills, status in ((1, Status.RUN_TIMEOUT), (2, Status.OUT_OF_MEMORY)):
            signal.setitimer(signal.ITIMER_REAL, 0.5, 0.5 if kills == 2 else 0.0)
            (measurement,) = pool.measure([candidate(1, Fault.RUN_HANG)])
            signal.setitimer(signal.ITIMER_REAL, 0.0)
            assert measurement.status is status, measurement.error
    finally:
        signal.signal(signal.SIGALRM, previous)


def test_when_the_fork_server_is_killed_another_one_forks_workers(pool: WorkerPool) -> None:
    candidates = [candidate(rows) for rows in range(1, 5)]
    measured = pool.measure(candidates)
    statuses = [next(measured).status]
    servers = {psutil.Process(pid).ppid() for pid in pool.worker_pids}
    assert len(servers) == 1
    assert servers != {os.getpid()}
    workers = list(pool.worker_pids)
    os.kill(servers.pop(), signal.SIGKILL)
    assert _all_gone(workers)
    statuses += [measurement.status for measurement in measured]
    assert statuses == [Status.OK] * 4


def test_several_workloads_in_one_call(pool: WorkerPool) -> None:
    other = candidate(1, workload=parse_workload("gemm:m=4,n=8,k=2,dtype=uint8"))
    measurements = pool.measure([candidate(1), other, candidate(2), other])
    assert [measurement.status for measurement in measurements] == [Status.OK] * 4


def test_a_worker_that_cannot_start_is_an_error_with_its_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = tmp_path / "python"
    broken.write_text("#!/bin/sh\necho no such library >&2\nexit 7\n")
    broken.chmod(0o755)
    monkeypatch.setattr(launcher.sys, "executable", str(broken))
    with WorkerPool(OPTIONS, 2) as workers, pytest.raises(WorkerError, match=r"exit code 7\nno such library"):
        list(workers.measure([candidate(1)]))


def test_no_room_for_the_reference_is_an_error(pool: WorkerPool, monkeypatch: pytest.MonkeyPatch) -> None:
    workload = parse_workload("gemm:m=3,n=3,k=3")
    pool.start()
    monkeypatch.setattr(Path, "mkdir", lambda path, exist_ok: None)
    with pytest.raises(EnvironmentFault, match=r"reference of gemm:m=3,n=3,k=3.* could not be computed"):
        list(pool.measure([candidate(1, workload=workload)]))


PARENT = """
import sys
from flextune.measure.measure_options import MeasureOptions
from flextune.measure.worker_pool import WorkerPool
from flextune.measure.messages import read_candidate
with WorkerPool(MeasureOptions(workers=2), 2) as pool:
    text = {"workload": "gemm:m=4,n=4,k=4", "body": None, "target": "null:cpu=none,cores=2", "trace": "[]"}
    list(pool.measure([read_candidate({**text, "assignment": "rows=1"})]))
    print(*pool.worker_pids, flush=True)
    list(pool.measure([read_candidate({**text, "assignment": "rows=1,fault=%d"})]))
"""


@pytest.mark.parametrize("fault", [Fault.BUILD_HANG, Fault.RUN_HANG])
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_workers_do_not_outlive_their_parent(number: signal.Signals, fault: Fault, tmp_path: Path) -> None:
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    with subprocess.Popen(
        [sys.executable, "-c", PARENT % fault], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment
    ) as parent:
        assert parent.stdout is not None
        workers = [int(pid) for pid in parent.stdout.readline().split()]
        assert len(workers) == 2
        time.sleep(0.1)
        parent.send_signal(number)
    assert _all_gone(workers)
    if number == signal.SIGINT:
        assert list(tmp_path.iterdir()) == []


def _kill_workers(pool: WorkerPool) -> None:
    pids = list(pool.worker_pids)
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    assert _all_gone(pids)


def _all_gone(pids: list[int]) -> bool:
    for _ in range(200):
        if not any(map(_lives, pids)):
            return True
        time.sleep(0.02)
    return False


def _lives(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_many_workloads_in_one_call(pool: WorkerPool) -> None:
    """A worker keeps the data of few workloads; kernels built before others' data came are bound again."""
    workloads = [parse_workload(f"gemm:m={size},n=8,k=8") for size in range(1, 7)]
    first = candidate(4)
    mixed = [Candidate(workload, first.target, first.trace, first.assignment) for workload in [*workloads, *workloads]]
    assert [measurement.status for measurement in pool.measure(mixed)] == [Status.OK] * len(mixed)
