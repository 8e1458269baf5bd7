"""A trial as steps between which it waits for a process: so that one thread can keep several trials going."""

from __future__ import annotations

import math
from collections.abc import Generator, Sequence
from dataclasses import dataclass, field

from flextune.measure.ending import Outcome
from flextune.measure.watch import RunLimits
from flextune.measure.wire import Message
from flextune.measure.worker_process import Worker, WorkerProcess, wait_any
from flextune.trial.measurement import Measurement


@dataclass(frozen=True, slots=True)
class Call:
    """What a trial wants to be done by its worker process."""

    message: Message
    """The request."""
    limits: RunLimits = field(default_factory=RunLimits)
    """What it may take."""
    keeps: bool = False
    """Whether the process keeps memory from call to call: then that counts from its start."""


Steps = Generator[Call, Outcome, Measurement]
"""Yields calls, is sent their outcomes, and returns the measurement."""


def run_steps(steps: Steps, worker: Worker | None) -> Measurement:
    """Make one trial and wait for it; a trial that calls nothing needs no worker."""
    try:
        call = next(steps)
        while True:
            assert worker is not None  # the trial of an objective that has one
            call = steps.send(called(worker, call))
    except StopIteration as end:
        measurement: Measurement = end.value
        return measurement


@dataclass(slots=True)
class _Running:
    number: int
    """Of the candidate."""
    steps: Steps
    """What is still to be done."""
    call: Call
    """What is being done."""
    process: WorkerProcess
    """Where."""
    is_second: bool = False
    """Whether it was begun anew after its process had ended."""


class TrialCrew:
    """Keeps as many trials going as there are workers; everything happens in the thread that calls."""

    def __init__(self, workers: Sequence[Worker]) -> None:
        self._idle = list(workers)
        self._running: dict[Worker, _Running] = {}
        self._started = 0

    @property
    def idle(self) -> int:
        return len(self._idle)

    @property
    def busy(self) -> int:
        return len(self._running)

    def start(self, steps: Steps) -> int:
        """Begin a trial on an idle worker; returns its number."""
        worker, self._started = self._idle.pop(), self._started + 1
        call = next(steps)
        self._running[worker] = _Running(self._started, steps, call, _sent(worker, call))
        return self._started

    def wait(self) -> list[tuple[int, Measurement]]:
        """The trials that end next, with their numbers."""
        ended: list[tuple[int, Measurement]] = []
        while self._running and not ended:
            by_process = {running.process: worker for worker, running in self._running.items()}
            for process, outcome in wait_any(by_process):
                worker = by_process[process]
                measurement = self._go_on(worker, worker.ended(outcome))
                if measurement is not None:
                    ended.append((self._running.pop(worker).number, measurement))
                    self._idle.append(worker)
        return ended

    def _go_on(self, worker: Worker, outcome: Outcome) -> Measurement | None:
        running = self._running[worker]
        if _is_lost(outcome) and not running.is_second:
            running.is_second = True
        else:
            running.is_second = False
            try:
                running.call = running.steps.send(outcome)
            except StopIteration as end:
                measurement: Measurement = end.value
                return measurement
        running.process = _sent(worker, running.call)
        return None


def called(worker: Worker, call: Call) -> Outcome:
    """The outcome of a call; made once more where the worker's fork server was lost with it."""
    outcome = worker.call(call.message, call.limits.timeout_secs, _memory_bytes(worker, call))
    if _is_lost(outcome):
        outcome = worker.call(call.message, call.limits.timeout_secs, _memory_bytes(worker, call))
    return outcome


def _sent(worker: Worker, call: Call) -> WorkerProcess:
    process = worker.ready()
    process.send(call.message, call.limits.timeout_secs, _memory_bytes(worker, call))
    return process


def _memory_bytes(worker: Worker, call: Call) -> int:
    if not call.keeps or not call.limits.memory_bytes:
        return call.limits.memory_bytes
    return max(1, call.limits.memory_bytes - worker.grown_bytes)


def _is_lost(outcome: Outcome) -> bool:
    """Whether the process ended with its fork server, which is none of the call's doing."""
    return outcome.killed_from_outside and outcome.code is None


def cut(limits: RunLimits, secs: float) -> RunLimits:
    """The same limits, with a timeout of at most what is left of a budget."""
    if math.isinf(secs) or secs >= limits.timeout_secs:
        return limits
    return RunLimits(max(_LEAST_SECS, secs), limits.memory_bytes)


_LEAST_SECS = 0.01
