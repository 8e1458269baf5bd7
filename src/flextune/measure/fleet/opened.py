"""The runner of a fleet, by the name that a user gives."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from flextune.measure.fleet.fleet_runner import FleetRunner
from flextune.measure.fleet.names import fleet_address
from flextune.measure.measure_options import MeasureOptions
from flextune.target.target import Target


@contextmanager
def fleet_runner(runner: str, options: MeasureOptions, target: Target) -> Iterator[FleetRunner]:
    """Measures candidates for a target on the hosts of a fleet."""
    from flextune.measure.fleet.ray_fleet import RayFleet

    fleet = RayFleet(fleet_address(runner), str(target), str(options))
    try:
        yield FleetRunner(fleet, target, fleet.size)
    finally:
        fleet.close()
