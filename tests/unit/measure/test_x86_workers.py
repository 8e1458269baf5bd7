"""Real code generation in worker processes: small programs of every kind of operand."""

import os
import signal
from collections.abc import Iterator

import numpy as np
import pytest

from flextune.csp.assignment import Assignment
from flextune.measure.measure_options import MeasureOptions
from flextune.measure.worker_pool import WorkerPool
from flextune.platforms import platform_registry
from flextune.schedule.space import SearchSpace
from flextune.schedule.trace import Trace
from flextune.target.detect import detect
from flextune.trial.measurement import Candidate, Status
from flextune.workload.parse import parse_workload

pytestmark = [pytest.mark.xdist_group("workers"), pytest.mark.hardware("x86")]

OPTIONS = MeasureOptions(workers=2, repeats=2, min_repeat_secs=0.0)


@pytest.fixture(scope="module")
def pool() -> Iterator[WorkerPool]:
    with WorkerPool(OPTIONS, detect().cores) as workers:
        workers.start("x86")
        yield workers


def some_candidates(text: str, count: int) -> list[Candidate]:
    """The default and a few more of the space of a workload."""
    workload, target = parse_workload(text), detect()
    space: SearchSpace = platform_registry.get("x86").search_space(workload, target)
    assignments = [space.default, *space.solutions.sample(np.random.default_rng(0), count - 1)]
    return [Candidate(workload, target, space.trace, assignment) for assignment in assignments]


@pytest.mark.parametrize(
    "text",
    [
        "gemm:m=33,n=50,k=17",
        "gemm:m=32,n=48,k=16,dtype=uint8",
        "gemm:m=32,n=64,k=24,weights=constant,epilogue=bias",
        "conv2d:n=1,h=7,w=9,ci=3,co=20,kh=3,kw=3,pad=1,layout=nhwc,epilogue=bias+relu,weights=constant",
    ],
)
def test_sampled_programs_build_run_and_agree(pool: WorkerPool, text: str) -> None:
    measurements = list(pool.measure(some_candidates(text, 4)))
    assert [(measurement.status, measurement.error) for measurement in measurements] == [(Status.OK, "")] * 4
    assert all(0 < measurement.secs < 1 for measurement in measurements)


def test_an_illegal_step_is_a_build_error_of_that_candidate(pool: WorkerPool) -> None:
    (good,) = some_candidates("gemm:m=16,n=16,k=16", 1)
    trace = Trace.from_json('[{"step": "mark", "loop": "no_such_loop", "how": "parallel"}]')
    bad = Candidate(good.workload, good.target, trace, Assignment({}))
    measured = list(pool.measure([bad, good]))
    assert [measurement.status for measurement in measured] == [Status.BUILD_ERROR, Status.OK]
    assert "no_such_loop" in measured[0].error


def test_the_program_without_a_schedule_is_right(pool: WorkerPool) -> None:
    for text in ("softmax:rows=4,cols=10", "gemm:m=8,n=8,k=8,dtype=bfloat16"):
        candidate = Candidate(parse_workload(text), detect(), Trace(()), Assignment({}))
        (measurement,) = pool.measure([candidate])
        assert (measurement.status, measurement.error) == (Status.OK, "")


def test_threads_of_parallel_programs_have_a_core_each(pool: WorkerPool) -> None:
    """All but the one that launches them, which is bound only while it does."""
    list(pool.measure(some_candidates("gemm:m=128,n=128,k=128", 4)))
    for worker in pool.worker_pids:
        helpers = [int(thread) for thread in os.listdir(f"/proc/{worker}/task") if int(thread) != worker]
        places = [os.sched_getaffinity(helper) for helper in helpers]
        assert len(helpers) == detect().cores - 1
        assert all(len(place) == 1 for place in places)
        assert len(set().union(*places)) == len(helpers)


def test_finalists_of_a_space(pool: WorkerPool) -> None:
    measurements = pool.compare(some_candidates("gemm:m=64,n=64,k=64", 3), rounds=4)
    assert [len(measurement.run_secs) for measurement in measurements] == [4, 4, 4]


def test_a_measurement_has_what_the_compiler_said(pool: WorkerPool) -> None:
    for measurement in pool.measure(some_candidates("gemm:m=24,n=32,k=16", 3)):
        assert (measurement.report.code_bytes or 0) > 100


def test_a_kernel_of_another_worker_is_loaded_and_not_built_again(pool: WorkerPool) -> None:
    """Whichever of the two workers has built it, and also when that one is no more."""
    candidates = some_candidates("gemm:m=40,n=32,k=16", 4)
    trials = list(pool.measure(candidates))
    for kill in (False, True):
        if kill:
            os.kill(pool.worker_pids[0], signal.SIGKILL)
        finals = pool.compare(candidates, rounds=2)
        assert [final.status for final in finals] == [Status.OK] * 4
        if not kill:
            assert [final.build_secs for final in finals] == [trial.build_secs for trial in trials]
