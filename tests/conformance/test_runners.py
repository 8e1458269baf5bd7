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
from flextune.target.kinds import scale_of
from flextune.target.target import Target
from flextune.testing.platforms import ILLEGAL
from flextune.testing.runners import NULL, RunnerSuite, null_candidate, recorded
from flextune.testing.ssh import SshServer, why_no_server
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


@workers
@pytest.mark.emulator("arm")
class TestSshRunner(RunnerSuite):
    """This machine as a board, whose programs for Arm an emulator starts: built here, checked and timed there."""

    @pytest.fixture(autouse=True, scope="class")
    def board(self, request):
        if missing := why_no_server():
            pytest.skip(missing)
        target = Target.parse("arm:rk3588,cores=2")
        request.cls.options = MeasureOptions(workers=1, min_repeat_secs=0.0, runner=SshServer.runner)
        with SshServer("qemu-aarch64 -cpu cortex-a76") as server, pytest.MonkeyPatch.context() as patch:
            patch.setenv("FLEXTUNE_SSH", server.client)
            request.cls.target = target
            with local_processes(target) as request.cls.interpreter:
                yield
            assert not list(server.far.iterdir())

    @pytest.fixture(autouse=True)
    def candidates(self):
        workload, other = parse_workload("gemm:m=16,n=32,k=8"), parse_workload("softmax:rows=4,cols=32")
        space = platform_registry.get("arm").search_space(workload, self.target)
        self.working = [
            Candidate(workload, self.target, space.trace, assignment)
            for assignment in _first(space.solutions.enumerate(), 3)
        ]
        self.failing = {Candidate(workload, self.target, ILLEGAL, Assignment({})): Status.BUILD_ERROR}
        default = platform_registry.get("arm").search_space(other, self.target)
        self.other = Candidate(other, self.target, default.trace, default.default)

    def open(self):
        return local_runner(self.options, self.target, self.interpreter)

    def test_times_are_seconds(self):
        with self.open() as runner:
            [found] = runner.measure(self.working[:1])
        assert not found.metrics
        assert 0 < found.secs < 1
        assert scale_of(self.target, SshServer.runner).is_time
