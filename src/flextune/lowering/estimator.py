"""What plans ask how long something takes."""

from __future__ import annotations

from importlib import import_module
from typing import Protocol, cast

from flextune.workload.work import Work

_OF_HOST = "flextune.platforms.estimator"
"""By name, because plans are made below `platforms`."""


class Estimator(Protocol):
    """How long work takes on the target that a plan is made for; `flextune.platforms.estimator` has one for each."""

    def secs(self, work: Work) -> float:
        """Seconds of one kernel that does this work, its launch included."""
        ...


def host_estimator() -> Estimator:
    """For plans of which no target is said: they are made for this machine."""
    return cast(Estimator, import_module(_OF_HOST).host_plan_estimator())
