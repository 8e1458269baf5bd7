"""What this machine's processors have taken in energy, where the system lets one read it: RAPL, through powercap.

A zone counts microjoules up to a limit and begins again at 0. Packages hold the energy of cores, caches and what is
around them; memory is a zone of its own inside of a package's folder. A whole-system zone (`psys`) would count packages
again, and is left out, as are the parts of a package.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from flextune.settings import powercap_folder

IDLE_WINDOWS = 5
IDLE_WINDOW_SECS = 0.02
_SETTLE_SECS = 0.05
_MICRO = 1e-6


@dataclass(frozen=True, slots=True)
class Zone:
    """One counter of energy."""

    name: str
    """As the system calls it, such as `package-0`."""
    file: Path
    """That holds the count, in microjoules."""
    limit_microjoules: int
    """The largest count; 0 comes after it."""

    def read(self) -> int:
        return int(self.file.read_text())


@dataclass(frozen=True, slots=True)
class Reading:
    """The counts of all zones at one moment."""

    secs: float
    microjoules: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class EnergyMeter:
    """Zones that together are all that can be read of this machine, each energy once."""

    zones: tuple[Zone, ...]
    clock: Callable[[], float] = time.perf_counter

    def read(self) -> Reading:
        """OSError or ValueError where a counter cannot be read any more."""
        return Reading(self.clock(), tuple(zone.read() for zone in self.zones))

    def joules(self, begin: Reading, end: Reading) -> float:
        """Taken between two readings, during which a counter may have begun again once.

        >>> zone = Zone("package-0", Path("energy_uj"), limit_microjoules=999)
        >>> EnergyMeter((zone,)).joules(Reading(0.0, (900,)), Reading(1.0, (100,)))
        0.0002
        """
        pairs = zip(self.zones, begin.microjoules, end.microjoules, strict=True)
        return _MICRO * sum((last - first) % (zone.limit_microjoules + 1) for zone, first, last in pairs)

    def idle_watts(self, sleep: Callable[[float], None] = time.sleep) -> float:
        """What the machine takes while this process does nothing: the least of a few short windows.

        OSError or ValueError where a counter cannot be read any more.
        """
        sleep(_SETTLE_SECS)
        found = []
        for _ in range(IDLE_WINDOWS):
            begin = self.read()
            sleep(IDLE_WINDOW_SECS)
            end = self.read()
            found.append(self.joules(begin, end) / (end.secs - begin.secs))
        return min(found)

    def joules_per_call(self, run: Callable[[], float], idle_watts: float) -> float | None:
        """What a call takes, without what the machine would take anyway.

        `run` does nothing but such calls and says how many seconds one of them takes. None where the machine takes no
        more meanwhile than at rest, so that nothing can be told, or where a counter cannot be read any more.
        """
        try:
            begin = self.read()
            secs = run()
            end = self.read()
        except (OSError, ValueError):
            return None
        watts = self.joules(begin, end) / (end.secs - begin.secs) - idle_watts
        return watts * secs if watts > 0 else None


def find_meter(folder: Path) -> EnergyMeter | None:
    """What can be read in a powercap folder; None where that is nothing."""
    zones = [zone for each in _zone_folders(folder) if (zone := _zone(each)) is not None]
    return EnergyMeter(tuple(zones)) if any(zone.name.startswith("package") for zone in zones) else None


@lru_cache(maxsize=1)
def meter() -> EnergyMeter | None:
    """Of this machine; None where its energy cannot be read."""
    return find_meter(powercap_folder())


def _zone_folders(folder: Path) -> list[Path]:
    """Of packages, and of the memory in them: `intel-rapl:0` and `intel-rapl:0:2`, which lies in it and beside it."""
    packages = [each for each in _numbered(folder, "intel-rapl") if _name(each).startswith("package")]
    parts = {part.name: part for each in packages for where in (folder, each) for part in _numbered(where, each.name)}
    return [*packages, *(part for part in parts.values() if _name(part) == "dram")]


def _numbered(folder: Path, name: str) -> list[Path]:
    """Folders `NAME:NUMBER`, in order."""
    found = [each for each in folder.glob(f"{name}:*") if each.name.removeprefix(f"{name}:").isdecimal()]
    return sorted(found, key=lambda each: int(each.name.rpartition(":")[2]))


def _zone(folder: Path) -> Zone | None:
    """None where it cannot be read, or has no limit at which it begins again."""
    try:
        zone = Zone(_name(folder), folder / "energy_uj", int((folder / "max_energy_range_uj").read_text()))
        zone.read()
    except (OSError, ValueError):
        return None
    return zone if zone.limit_microjoules > 0 else None


def _name(folder: Path) -> str:
    try:
        return (folder / "name").read_text().strip()
    except (OSError, ValueError):
        return ""
