"""What workloads must compute, found by a process that has no platform: it shares nothing with what is checked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from flextune.measure.data import save_data
from flextune.measure.messages import read_workload
from flextune.measure.services import guarded
from flextune.measure.wire import Message
from flextune.platforms import platform_registry
from flextune.trial.measurement import Status


class ReferenceService:
    """Makes the inputs and reference outputs of a workload; see `flextune.measure.services.ServiceFactory`."""

    @staticmethod
    def preload(what: str) -> None:
        """Nothing: what a workload's reference needs is loaded with it."""

    def __init__(self, options: str, cores: int) -> None:
        del options, cores

    def answer(self, request: Message) -> dict[str, Any]:
        """Write them below `folder`."""
        return guarded(_save, request, Status.RUN_ERROR)


def _save(request: Message) -> dict[str, Any]:
    """Intrinsics and functions that a platform registers would be used here as well, and their mistakes agree."""
    if loaded := platform_registry.loaded():
        raise RuntimeError(f"a reference must be computed without a platform, but {', '.join(loaded)} is loaded")
    save_data(read_workload(request["workload"]), Path(request["folder"]))
    return {}
