"""Energy from a made-up powercap tree: which counters count, counters that begin again, and rest that is subtracted."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from flextune.target.doctor import energy_part
from flextune.target.energy import EnergyMeter, Reading, Zone, find_meter

LIMIT = 262_143_328_850


def zone(folder: Path, name: str, microjoules: int = 0, limit: str = str(LIMIT)) -> Path:
    folder.mkdir(parents=True)
    (folder / "name").write_text(f"{name}\n")
    (folder / "energy_uj").write_text(f"{microjoules}\n")
    (folder / "max_energy_range_uj").write_text(f"{limit}\n")
    return folder


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Two packages with cores and memory, the whole system, and a second interface to the first package."""
    for number in (0, 1):
        package = zone(tmp_path / f"intel-rapl:{number}", f"package-{number}")
        zone(package / f"{package.name}:0", "core")
        zone(package / f"{package.name}:1", "dram")
    (tmp_path / "intel-rapl:0:1").symlink_to(tmp_path / "intel-rapl:0" / "intel-rapl:0:1")
    zone(tmp_path / "intel-rapl:2", "psys")
    zone(tmp_path / "intel-rapl-mmio:0", "package-0")
    (tmp_path / "intel-rapl").mkdir()
    return tmp_path


def test_each_energy_counts_once(tree: Path) -> None:
    meter = find_meter(tree)
    assert meter is not None
    assert [each.name for each in meter.zones] == ["package-0", "package-1", "dram", "dram"]
    assert len({each.file.resolve() for each in meter.zones}) == 4


@pytest.mark.parametrize(
    ("begin", "end", "joules"),
    [(0, 0, 0.0), (1_000_000, 3_500_000, 2.5), (LIMIT, 0, 1e-6), (LIMIT - 999_999, 1_000_000, 2.0)],
)
def test_a_counter_may_begin_again(begin: int, end: int, joules: float) -> None:
    meter = EnergyMeter((Zone("package-0", Path("unread"), LIMIT), Zone("dram", Path("unread"), LIMIT)))
    found = meter.joules(Reading(0.0, (begin, 5)), Reading(1.0, (end, 5)))
    assert found == pytest.approx(joules)


class Machine:
    """A machine with a clock of its own, which takes so many watts at rest and as many more while it works.

    Its counter begins again every 3 joules.
    """

    LIMIT = 2_999_999

    def __init__(self, folder: Path, rest: float, work: float) -> None:
        zone(folder / "intel-rapl:0", "package-0", limit=str(self.LIMIT))
        self._file = folder / "intel-rapl:0" / "energy_uj"
        self.rest, self.work, self.now, self.total = rest, work, 0.0, 0.0
        found = find_meter(folder)
        assert found is not None
        self.meter = EnergyMeter(found.zones, clock=lambda: self.now)

    def spend(self, secs: float, watts: float) -> None:
        self.now += secs
        self.total += secs * watts
        self._file.write_text(str(round(1e6 * self.total) % (self.LIMIT + 1)))

    def sleep(self, secs: float) -> None:
        self.spend(secs, self.rest)

    def calls(self, secs_per_call: float, number: int) -> Callable[[], float]:
        def run() -> float:
            self.spend(secs_per_call * number, self.rest + self.work)
            return secs_per_call

        return run


def test_what_the_machine_takes_at_rest_is_subtracted(tmp_path: Path) -> None:
    machine = Machine(tmp_path, rest=20.0, work=35.0)
    for _ in range(8):  # the counter begins again in several of them
        idle = machine.meter.idle_watts(machine.sleep)
        assert idle == pytest.approx(20.0, rel=1e-4)
        assert machine.meter.joules_per_call(machine.calls(0.002, 20), idle) == pytest.approx(0.07, rel=1e-3)


def test_other_programs_in_between_do_not_make_rest_dearer(tmp_path: Path) -> None:
    machine, busy = Machine(tmp_path, rest=10.0, work=30.0), iter([False, True, False, True, True, False])
    assert machine.meter.idle_watts(lambda secs: machine.spend(secs, 60.0 if next(busy) else 10.0)) == pytest.approx(10)


def test_what_is_not_above_rest_is_not_told(tmp_path: Path) -> None:
    machine = Machine(tmp_path, rest=20.0, work=0.0)
    assert machine.meter.joules_per_call(machine.calls(0.01, 5), 20.5) is None


def test_a_counter_that_is_gone_tells_nothing(tmp_path: Path) -> None:
    machine = Machine(tmp_path, rest=20.0, work=10.0)

    def run() -> float:
        machine.spend(0.1, 30.0)
        (tmp_path / "intel-rapl:0" / "energy_uj").unlink()
        return 0.1

    assert machine.meter.joules_per_call(run, 20.0) is None


@pytest.mark.parametrize(("file", "text"), [("energy_uj", "many"), ("energy_uj", ""), ("max_energy_range_uj", "0")])
def test_damaged_counters_are_as_none(tmp_path: Path, file: str, text: str) -> None:
    (zone(tmp_path / "intel-rapl:0", "package-0") / file).write_text(text)
    assert find_meter(tmp_path) is None


def test_the_doctor_says_what_is_read_or_why_not(tree: Path, tmp_path: Path) -> None:
    assert energy_part(tree).found == "package-0, package-1, dram, dram"
    nothing = energy_part(tmp_path / "none")
    assert (nothing.found, nothing.required) == ("", False)
    assert str(tmp_path / "none") in nothing.how
    for each in tree.glob("intel-rapl:*/energy_uj"):
        each.unlink()
        each.mkdir()  # cannot be read, as where it belongs to root
    assert energy_part(tree).found == ""
    assert "chmod a+r" in energy_part(tree).how
