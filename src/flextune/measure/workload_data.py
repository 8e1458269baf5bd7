"""Inputs and reference outputs of workloads, in folders that the processes of one pool share."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from pathlib import Path

from flextune.errors import EnvironmentFault
from flextune.measure.ending import Outcome
from flextune.measure.launcher import Interpreter, ServiceLauncher
from flextune.measure.messages import workload_text
from flextune.measure.outcome import went_well, what_happened
from flextune.measure.wire import Message
from flextune.measure.worker_process import Worker, WorkerProcess, wait_any
from flextune.workload.workload import Workload

REFERENCE_TIMEOUT_SECS = 600.0

_TRIES = 2
"""The system may kill a process for want of memory, and so may somebody: then it is asked once more."""


class WorkloadData:
    """Makes the data of every workload once, in processes without a platform, several workloads at a time."""

    def __init__(self, folder: Path, interpreter: Interpreter, workers: int) -> None:
        """Folders named by workload keys go below `folder`. Processes start when they are needed."""
        self._folder = folder
        self._folders: dict[str, str] = {}
        self._workers = [
            Worker(ServiceLauncher("references", "", interpreter), folder / f"references{index}.log")
            for index in range(workers)
        ]

    def close(self) -> None:
        """End the processes; the folders stay."""
        for worker in self._workers:
            worker.stop()

    def folder(self, workload: Workload) -> str:
        """The folder with the inputs and references of a workload, which are made if they are not there yet.

        EnvironmentFault where they could not be computed.
        """
        self.make([workload])
        return self._folders[workload.key]

    def make(self, workloads: Iterable[Workload]) -> None:
        """Makes the data that are not there yet. EnvironmentFault where some could not be computed."""
        missing = {each.key: each for each in workloads if each.key not in self._folders}
        try:
            self._make(list(missing.values()))
        except BaseException:
            self.close()
            raise

    def _make(self, workloads: Sequence[Workload]) -> None:
        waiting = deque((workload, _TRIES) for workload in workloads)
        running: dict[WorkerProcess, tuple[Worker, Workload, int]] = {}
        idle = list(self._workers)
        while waiting or running:
            while waiting and idle:
                workload, tries = waiting.popleft()
                worker = idle.pop()
                process = worker.ready()
                process.send(self._request(workload), REFERENCE_TIMEOUT_SECS)
                running[process] = worker, workload, tries - 1
            for process, outcome in wait_any(running):
                worker, workload, tries = running.pop(process)
                idle.append(worker)
                worker.ended(outcome)
                if outcome.killed_from_outside and tries:
                    waiting.append((workload, tries))
                    continue
                _check(workload, outcome)
                self._folders[workload.key] = str(self._folder / workload.key)

    def _request(self, workload: Workload) -> Message:
        folder = self._folder / workload.key
        folder.mkdir(exist_ok=True)
        return {"workload": workload_text(workload), "folder": str(folder)}


def _check(workload: Workload, outcome: Outcome) -> None:
    if not went_well(outcome):
        raise EnvironmentFault(
            f"the reference of {workload} could not be computed: {what_happened(outcome)}; "
            "the machine needs memory and temporary disk space for a few times its inputs and outputs"
        )
