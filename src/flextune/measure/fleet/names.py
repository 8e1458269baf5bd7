"""Names of fleets, as users give them; loads nothing that measures."""

from __future__ import annotations

from flextune.errors import UsageError

_RAY = "ray"


def is_fleet(runner: str | None) -> bool:
    """Whether a runner's name is that of a fleet: `ray`, or `ray:HOST:PORT`."""
    return runner is not None and runner.partition(":")[0] == _RAY


def fleet_address(runner: str) -> str:
    """HOST:PORT of a fleet; empty for the cluster that this machine belongs to.

    >>> fleet_address("ray:10.0.0.1:6379")
    '10.0.0.1:6379'
    """
    _, colon, address = runner.partition(":")
    if not is_fleet(runner) or (colon and not address):
        raise UsageError(f"expected ray or ray:HOST:PORT, got {runner!r}")
    return address
