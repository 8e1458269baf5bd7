"""Every runner that ships passes the suite."""

import sys
from contextlib import nullcontext

import pytest

from flextune.csp.assignment import Assignment
from flextune.measure.local import local_processes, local_runner
from flextune.measure.measure_options import MEBIBYTE, MeasureOptions
from flextune.measure.replay_runner import ReplayRunner
from flextune.platforms import platform_registry
from flextune.platforms.null.kernel import Fault
from flextune.target.detect import detect
from flextune.testing.platforms import ILLEGAL
from flextune.testing.runners import NULL, RunnerSuite, null_candidate, recorded
from flextune.trial.measurement import Candidate, Status
from flextune.workload.parse import parse_workload

OPTIONS = MeasureOptions(workers=2, memory_bytes=128 * MEBIBYTE, min_repeat_secs=0.0)

WORKING = tuple(null_candidate(rows) for rows in (1, 8, 64, 256))
FAILING = {
    null_candidate(2, Fault.BUILD_ERROR): Status.BUILD_ERROR,
    null_candidate(3, Fault.RUN_CRASH): Status.RUN_ERROR,
    null_candidate(4, Fault.WRONG_OUTPUT): Status.WRONG_OUTPUT,
}
OTHER = null_candidate(2, workload="gemm:m=4,n=8,k=2,dtype=uint8")

workers = pytest.mark.xdist_group("workers")
linux = pytest.mark.skipif(sys.platform != "linux", reason="workers are limited and killed as Linux allows")


@workers
@linux
class TestLocalRunner(RunnerSuite):
    working, failing, other = WORKING, FAILING, OTHER

    @pytest.fixture(autouse=True, scope="class")
    def processes(self, request):
        """What loads TVM once and forks the workers of all runners."""
        with local_processes(NULL) as request.cls.interpreter:
            yield

    def open(self):
        return local_runner(OPTIONS, NULL, self.interpreter)


class TestReplayRunner(RunnerSuite):
    working, failing, other = WORKING, FAILING, OTHER

    def open(self):
        failed = [recorded(candidate, status) for candidate, status in self.failing.items()]
        return nullcontext(ReplayRunner([*map(recorded, (*self.working, self.other)), *failed]))


@workers
@pytest.mark.hardware("x86")
class TestLocalRunnerOnX86(RunnerSuite):
    """Built, checked and timed for real."""

    @pytest.fixture(autouse=True, scope="class")
    def processes(self, request):
        with local_processes(detect()) as request.cls.interpreter:
            yield

    @pytest.fixture(autouse=True)
    def candidates(self):
        workload, target = parse_workload("gemm:m=16,n=32,k=8"), detect()
        space = platform_registry.get("x86").search_space(workload, target)
        self.working = [
            Candidate(workload, target, space.trace, assignment)
            for assignment in _first(space.solutions.enumerate(), 3)
        ]
        self.failing = {Candidate(workload, target, ILLEGAL, Assignment({})): Status.BUILD_ERROR}
        other = parse_workload("softmax:rows=4,cols=32")
        default = platform_registry.get("x86").search_space(other, target)
        self.other = Candidate(other, target, default.trace, default.default)

    def open(self):
        return local_runner(MeasureOptions(workers=2, min_repeat_secs=0.0), detect(), self.interpreter)


def _first(assignments, count):
    return [assignment for assignment, _ in zip(assignments, range(count), strict=False)]
