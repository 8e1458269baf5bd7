"""A worker process of the pool, and what it holds."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from flextune.errors import EnvironmentFault
from flextune.measure.ending import Ending
from flextune.measure.launcher import Launcher
from flextune.measure.measure_options import MeasureOptions
from flextune.measure.messages import candidate_text
from flextune.measure.outcome import went_well, what_happened
from flextune.measure.wire import Message
from flextune.measure.worker_process import Worker, wait_for
from flextune.trial.measurement import Candidate

LOAD_TIMEOUT_SECS = 120.0


class Slot(Worker):
    """A worker that measures kernels: `built` counts those it holds, `loaded` is the folder of the data it has."""

    def __init__(self, options: MeasureOptions, launcher: Launcher, folder: Path, index: int) -> None:
        super().__init__(launcher, folder / f"worker{index}.log")
        self._options = options
        self.built = 0
        self.loaded = ""
        self._loaded_bytes = 0

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
            self.loaded, self._loaded_bytes = folder, self._process.resident_bytes

    def stop(self) -> None:
        super().stop()
        self.built = 0
        self.loaded = ""

    def rest(self, keep: Sequence[int] = ()) -> None:
        """Forget what is built but for the kernels of these numbers; a worker that is busy or has grown is replaced."""
        if self._process is None or not self._is_ready:
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
