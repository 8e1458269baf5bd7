"""A real Ray cluster of three nodes on this machine: one dies in the middle of a run, and another one joins."""

from __future__ import annotations

import socket
import warnings
from contextlib import closing, nullcontext, suppress

import psutil
import pytest

pytest.importorskip("ray", reason="a fleet needs Ray: pip install 'flextune[fleet]'")

from ray.cluster_utils import Cluster

from flextune.csp.assignment import Assignment
from flextune.errors import EnvironmentFault, UsageError
from flextune.measure.fleet.fleet_runner import FleetRunner
from flextune.measure.fleet.opened import fleet_runner
from flextune.measure.fleet.ray_fleet import BUILD_RESOURCE, RayFleet
from flextune.measure.measure_options import MEBIBYTE, MeasureOptions
from flextune.platforms.null.kernel import PAUSE, Fault, null_secs
from flextune.target.target import Target
from flextune.testing.runners import NULL, RunnerSuite, null_candidate
from flextune.trial.measurement import Candidate, Status

OPTIONS = MeasureOptions(workers=1, memory_bytes=128 * MEBIBYTE, min_repeat_secs=0.0)

pytestmark = [pytest.mark.xdist_group("workers"), pytest.mark.slow]


def node(cluster: Cluster, **resources):
    return cluster.add_node(
        num_cpus=1, object_store_memory=80 << 20, include_dashboard=False, resources=resources, num_gpus=0
    )


@pytest.fixture(scope="module")
def cluster():
    warnings.simplefilter("ignore", FutureWarning)
    made = Cluster()
    made.timing = [node(made) for _ in range(3)]
    made.wait_for_nodes()
    yield made
    made.shutdown()


@pytest.fixture(scope="class")
def runner(cluster):
    with fleet_runner(f"ray:{cluster.address}", OPTIONS, NULL) as found:
        assert found.width == 3
        yield found


def cut_power(victim) -> None:
    """All of a node's processes end at once."""
    raylet = psutil.Process(victim.all_processes["raylet"][0].process.pid)
    for process in (raylet, *raylet.children(recursive=True)):
        with suppress(psutil.NoSuchProcess):
            process.kill()


def paused(rows: int, pause_ms: int) -> Candidate:
    first = null_candidate(rows)
    values = Assignment({"rows": rows, PAUSE: pause_ms})
    return Candidate(first.workload, NULL, first.trace, values)


class TestRayFleet(RunnerSuite):
    working = tuple(null_candidate(rows) for rows in (1, 8, 64, 256))
    failing = {  # noqa: RUF012
        null_candidate(2, Fault.BUILD_ERROR): Status.BUILD_ERROR,
        null_candidate(3, Fault.RUN_CRASH): Status.RUN_ERROR,
        null_candidate(4, Fault.WRONG_OUTPUT): Status.WRONG_OUTPUT,
    }
    other = null_candidate(2, workload="gemm:m=4,n=8,k=2,dtype=uint8")

    @pytest.fixture(autouse=True)
    def _shared(self, runner):
        """One for all: what a test leaves must not disturb the next one."""
        self.shared = runner

    def open(self):
        return nullcontext(self.shared)


def test_a_node_dies_one_joins_and_one_only_builds(cluster) -> None:
    builder = node(cluster, **{BUILD_RESOURCE: 1})
    asked = [paused(rows, 30) for rows in range(1, 181)]
    victim = cluster.timing[2]
    with fleet_runner(f"ray:{cluster.address}", OPTIONS, NULL) as runner:
        assert runner.width == 3
        found = []
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            for each in runner.measure(asked):
                found.append(each)
                if len(found) == 20:
                    cut_power(victim)
                if len(found) == 30:
                    node(cluster)
        assert any("of the fleet is lost" in str(each.message) for each in told)
        assert [(each.assignment, each.secs) for each in found] == [
            (each.assignment, null_secs(each.assignment)) for each in asked
        ]
        for _ in range(200):  # until the new one has begun
            if runner.width == 3:
                break
            assert all(each.ok for each in runner.measure(asked[:30]))
        assert runner.width == 3
        assert [len(each.run_secs) for each in runner.compare(asked[:3], 4)] == [4, 4, 4]
    cluster.remove_node(builder)


def test_what_is_no_cluster_and_what_is_no_address() -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
    with pytest.raises(EnvironmentFault, match=f"fleet ray:127.0.0.1:{port}: nothing answers there"):
        RayFleet(f"127.0.0.1:{port}", str(NULL), str(OPTIONS))
    for wrong in ("host", "host:name", ":1", "host:70000"):
        with pytest.raises(EnvironmentFault, match=f"fleet ray:{wrong}: expected ray:HOST:PORT"):
            RayFleet(wrong, str(NULL), str(OPTIONS))
    with pytest.raises(UsageError, match="expected ray or ray:HOST:PORT"), fleet_runner("rays", OPTIONS, NULL):
        pass


def test_hosts_of_another_target_are_named(cluster) -> None:
    elsewhere = Target.parse("x86:cpu=znver4,cores=3,features=sse4+avx2")
    fleet = RayFleet(cluster.address, str(elsewhere), str(OPTIONS))
    with (
        closing(fleet),
        pytest.raises(EnvironmentFault, match=r"measures for x86:cpu=znver4.*, and not x86:cpu=znver4"),
    ):
        FleetRunner(fleet, elsewhere, fleet.size)
