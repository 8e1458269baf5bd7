"""A place for one worker process: starts it, restarts it when it died, and knows what it holds."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from flextune.errors import EnvironmentFault, WorkerError
from flextune.measure.ending import Ending, Outcome
from flextune.measure.messages import Message, candidate_text
from flextune.measure.options import MeasureOptions
from flextune.measure.outcome import went_well, what_happened
from flextune.measure.process import WorkerProcess, wait_for
from flextune.measure.worker_nursery import WorkerNursery
from flextune.trial.measurement import Candidate

LOAD_TIMEOUT_SECS = 120.0
_STARTS = 2


class Slot:
    """A place for one worker; `generation` counts the workers that have lived here.

    `kind` names the platform that the next worker loads when it starts; `loaded` the folder of the data it has.
    """

    def __init__(self, options: MeasureOptions, nursery: WorkerNursery, folder: Path, index: int) -> None:
        self._options = options
        self._nursery = nursery
        self._log = folder / f"worker{index}.log"
        self._process: WorkerProcess | None = None
        self._started = False
        self.kind = ""
        self.generation = 0
        self.built = 0
        self.loaded = ""
        self._loaded_bytes = 0

    @property
    def pid(self) -> int | None:
        """Process number of the worker, if there is one."""
        return None if self._process is None else self._process.pid

    def start(self) -> None:
        """Start a worker when there is none; it gets ready in the background."""
        if self._process is None or not self._process.alive:
            self.stop()
            self._process = WorkerProcess(self._nursery, self._log, self.kind)
            self._started = False

    def ready(self) -> WorkerProcess:
        """The worker, idle. Raises `WorkerError` when it dies twice before it takes any work."""
        for _ in range(_STARTS):
            self.start()
            assert self._process is not None  # made by `start`
            if self._started:
                return self._process
            outcome = wait_for(self._process)
            if outcome.ending is Ending.REPLY:
                self._started = True
                return self._process
            self.stop()
        raise WorkerError(f"a measuring worker does not start: {what_happened(outcome)}")

    def call(self, request: Message, timeout_secs: float, memory_bytes: int = 0) -> Outcome:
        """Send a request to the idle worker and wait for its end; the next worker starts when it died."""
        worker = self.ready()
        worker.send(request, timeout_secs, memory_bytes)
        return self.ended(wait_for(worker))

    def load(self, candidate: Candidate, folder: str) -> None:
        """Have the worker get its platform and the workload's data, so that they are not counted against a candidate.

        Raises `EnvironmentFault` when it cannot.
        """
        self.begin_load(candidate, folder)
        self.end_load(candidate, folder)

    def begin_load(self, candidate: Candidate, folder: str) -> None:
        """The first half of `load`, for several workers to do the second half at the same time."""
        worker = self.ready()
        if self.loaded != folder:
            worker.send(_load_request(candidate, folder), LOAD_TIMEOUT_SECS)

    def end_load(self, candidate: Candidate, folder: str) -> None:
        """The second half of `load`."""
        if self.loaded != folder and self._process is not None:
            outcome = self.ended(wait_for(self._process))
            if outcome.ending is Ending.DIED:  # killed from outside, perhaps before it was asked: once more
                outcome = self.call(_load_request(candidate, folder), LOAD_TIMEOUT_SECS)
            if not went_well(outcome):
                raise EnvironmentFault(f"a worker cannot measure {candidate.workload}: {what_happened(outcome)}")
            self.loaded, self._loaded_bytes = folder, int(outcome.reply["resident_bytes"])

    def ended(self, outcome: Outcome) -> Outcome:
        """Take note of how a request of this slot ended."""
        if outcome.ending is not Ending.REPLY:
            self.stop()
            self.start()
        return outcome

    def stop(self) -> None:
        """End the worker, if there is one."""
        if self._process is not None:
            self._process.kill()
            self._process = None
            self.generation += 1
        self.built = 0
        self.loaded = ""

    def rest(self, keep: Sequence[int] = ()) -> None:
        """Forget what is built but for the kernels of these numbers; a worker that is busy or has grown is replaced."""
        if self._process is None or not self._started:
            return
        grown_bytes = self._process.resident_bytes - self._loaded_bytes if self.loaded else 0
        if self._process.busy or grown_bytes > self._options.memory_bytes // 2:
            self.stop()
            self.start()
        elif self.built > len(keep):
            self.call({"action": "drop", "keep": list(keep)}, self._options.run_timeout_secs)
            self.built = len(keep)


def _load_request(candidate: Candidate, folder: str) -> Message:
    return {"action": "load", "candidate": candidate_text(candidate), "folder": folder}
