"""A run on simulated hosts: in order, nothing lost with a host that dies, times of equal machines alone."""

from __future__ import annotations

from contextlib import nullcontext

import pytest

from flextune.errors import EnvironmentFault, WorkerError
from flextune.measure.fleet.fleet import HostFacts, Joined, Lost
from flextune.measure.fleet.fleet_runner import FleetRunner
from flextune.measure.fleet.shares import Duty
from flextune.measure.fleet.speeds import equal_speed
from flextune.platforms.null.kernel import Fault, null_secs
from flextune.testing.fleets import SimulatedFleet, example_host
from flextune.testing.runners import NULL, RunnerSuite, null_candidate
from flextune.trial.measurement import Measurement, Status

CANDIDATES = [null_candidate(rows) for rows in range(1, 301)]


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("flextune.measure.fleet.fleet_runner._LATECOMER_SECS", 0.2)


def runner(fleet: SimulatedFleet) -> FleetRunner:
    return FleetRunner(fleet, NULL, len(fleet.hosts), gather_secs=1.0)


def simulated(hosts, script=None, **others) -> SimulatedFleet:
    return SimulatedFleet(hosts, null_secs, script, **others)


def hosts(*names: str) -> list[HostFacts]:
    return [example_host(name) for name in names]


def right(measured: list[Measurement]) -> bool:
    return [(each.assignment, each.secs) for each in measured] == [
        (each.assignment, null_secs(each.assignment)) for each in CANDIDATES
    ]


def test_hosts_share_the_work_and_answers_stay_in_order() -> None:
    fleet = simulated(hosts("a", "b", "c"))
    one = runner(fleet)
    assert (one.width, one.fingerprint) == (3, "same")
    assert right(list(one.measure(CANDIDATES)))
    assert set(fleet.measured.values()) == {1}
    by_host = [sum(host == name for host, _ in fleet.measured) for name in "abc"]
    assert min(by_host) > 80


def test_a_host_that_dies_loses_nothing_and_one_that_joins_is_used() -> None:
    fleet = simulated(hosts("a", "b"), {6: [Lost("a", "power")], 8: [Joined("c", example_host("c"))]})
    one = runner(fleet)
    with pytest.warns(UserWarning, match="host a of the fleet is lost: power"):
        assert right(list(one.measure(CANDIDATES)))
    assert sum(host == "c" for host, _ in fleet.measured) > 20
    assert one.width == 2


def test_all_hosts_may_die_as_long_as_another_one_comes() -> None:
    fleet = simulated(hosts("a"), {5: [Lost("a", "power")], 9: [Joined("b", example_host("b"))]})
    with pytest.warns(UserWarning, match="host a of the fleet is lost"):
        assert right(list(runner(fleet).measure(CANDIDATES)))
    fleet = simulated(hosts("a"), {5: [Lost("a", "power")]})
    with pytest.warns(UserWarning, match="is lost"), pytest.raises(EnvironmentFault, match="no host of the fleet"):
        list(FleetRunner(fleet, NULL, 1, gather_secs=0.05).measure(CANDIDATES))


def test_hosts_that_only_build_do_not_time() -> None:
    fleet = simulated([*hosts("a"), example_host("b", Duty.BUILDS, None)])
    one = runner(fleet)
    assert one.width == 1
    assert right(list(one.measure(CANDIDATES)))
    assert {host for host, _ in fleet.measured} == {"a"}
    assert sum(fleet.built.values()) > 100
    assert fleet.loaded == {("a", place) for _, place in fleet.built}


@pytest.mark.parametrize(
    ("odd", "why"),
    [
        (
            example_host("odd", reference_secs=1.3e-3),
            "its reference kernel is 1.30 x slower than that of a, though both",
        ),
        (
            example_host("odd", reference_secs=0.5e-3),
            "its reference kernel is 2.00 x faster than that of a, though both",
        ),
        (example_host("odd", fingerprint="other"), "its processor, cores or memory are others than those of a"),
        (example_host("odd", versions="flextune=2"), "it has flextune=2, a has flextune=1: install the same"),
        (example_host("odd", fault="it is x86:cpu=a, and not x86:cpu=b"), "it is x86:cpu=a, and not x86:cpu=b"),
    ],
)
def test_unequal_hosts_are_left_out_and_it_is_said_why(odd: HostFacts, why: str) -> None:
    fleet = simulated([odd, *hosts("a", "b")])
    with pytest.warns(UserWarning, match=f"host odd of the fleet is left out: {why}"):
        one = runner(fleet)
    assert right(list(one.measure(CANDIDATES)))
    assert {host for host, _ in fleet.measured} == {"a", "b"}
    late = simulated(hosts("a"), {4: [Joined("odd", odd)]})
    one = runner(late)
    with pytest.warns(UserWarning, match="host odd of the fleet is left out"):
        assert right(list(one.measure(CANDIDATES)))
    assert {host for host, _ in late.measured} == {"a"}


def test_the_largest_group_of_equal_speed_decides_and_of_two_the_faster_one() -> None:
    times = {"a": 1.0, "b": 1.09, "c": 1.3, "d": 1.35, "e": 1.4, "f": 2.0}
    facts = {name: example_host(name, reference_secs=secs) for name, secs in times.items()}
    assert equal_speed(facts) == {"c", "d", "e"}
    del facts["d"]
    assert equal_speed(facts) == {"a", "b"}


def test_a_fleet_without_a_host_of_the_target_says_what_there_is() -> None:
    mixed = [example_host(name, fault=f"it is another, {name}") for name in "ab"]
    fault = "no host of the fleet measures for null:.*: a: it is another, a; b: it is another, b"
    with pytest.warns(UserWarning, match="left out"), pytest.raises(EnvironmentFault, match=fault):
        runner(simulated(mixed))


def test_a_comparison_stays_on_one_host_and_begins_anew_where_it_dies() -> None:
    fleet = simulated(hosts("a", "b", "c"))
    one = runner(fleet)
    for _ in range(3):
        assert right(one.compare(CANDIDATES, 2)[:300])
    assert len(set(fleet.compared)) == 1
    (first,) = set(fleet.compared)
    fleet.script = {fleet.looks + 1: [Lost(first, "power")]}
    with pytest.warns(UserWarning, match="is lost"):
        assert right(one.compare(CANDIDATES, 2))
    assert fleet.compared[-1] != first


def test_a_host_that_cannot_measure_any_more_is_left_out() -> None:
    fleet = simulated(hosts("a", "b"), broken="a")
    one = runner(fleet)
    with pytest.warns(UserWarning, match="host a of the fleet is left out: its disk is full"):
        assert right(list(one.measure(CANDIDATES)))


def test_an_answer_about_another_candidate_is_refused() -> None:
    fleet = simulated(hosts("a"), mixes_up=True)
    with pytest.raises(WorkerError, match=r"has measured .* where it was asked for"):
        list(runner(fleet).measure(CANDIDATES))


def test_64_hosts_take_a_hundred_thousand_candidates_in_linear_steps() -> None:
    """Requests and looks are what the driver's time is made of; `benchmarks.fleet` times them."""
    steps = []
    for count in (1_000, 4_000):
        fleet = simulated(hosts(*map(str, range(64))))
        one = runner(fleet)
        asked = [CANDIDATES[place % 300] for place in range(count)]
        assert sum(each.ok for each in one.measure(asked)) == count
        steps.append((fleet.requests + fleet.looks) / count)
    assert steps[1] <= steps[0] <= 1


class TestSimulatedFleet(RunnerSuite):
    """What holds for every runner holds however work is shared."""

    working = tuple(null_candidate(rows) for rows in (1, 8, 64, 256))
    failing = {null_candidate(2, Fault.BUILD_ERROR): Status.BUILD_ERROR}  # noqa: RUF012
    other = null_candidate(2, workload="gemm:m=4,n=8,k=2,dtype=uint8")

    def open(self):
        return nullcontext(runner(simulated(hosts("a", "b"))))
