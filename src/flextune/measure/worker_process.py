"""The parent's side of a worker process: numbered requests and their replies, limits, death, and the next process.

`Worker` is what others use; it works the same for a named service and for a function.
"""

from __future__ import annotations

import contextlib
import math
import os
import select
import selectors
import signal
import time
from collections.abc import Callable, Collection, Iterable
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

from flextune.errors import WorkerError
from flextune.measure.ending import Ending, Outcome, exit_text
from flextune.measure.launcher import Function, FunctionLauncher, Interpreter, Launcher, ServiceLauncher
from flextune.measure.outcome import what_happened
from flextune.measure.process_limits import cpu_secs
from flextune.measure.watch import TICK_SECS, RunLimits, ends_within, kill_group, open_pid, tree_bytes
from flextune.measure.wire import READY, Envelope, Message, write_all
from flextune.temporary import PrivateFolder

START_TIMEOUT_SECS = 120.0
_STARTS = 2
_TAIL_BYTES = 2000
_ENDS_WITHIN_SECS = 1.0


class WorkerProcess:
    """One process; it takes one request at a time and is killed, with all it started, when it breaks a limit.

    `resident_bytes` is the memory it had in RAM at its last reply, `first_bytes` at its first.
    """

    def __init__(self, launcher: Launcher, log: Path | None = None, preload: str = "") -> None:
        self._log = log
        self._received = b""
        self._number = READY
        self._sent = 0.0
        self._cpu_secs = 0.0
        self._limits = RunLimits()
        self._pidfd: int | None = None
        self.first_bytes = 0
        self.resident_bytes = 0
        self.busy = False
        self._closed = False
        self._launcher = launcher
        reads, self._requests = os.pipe()
        self._replies, writes = os.pipe()
        self._server, self._ticket = launcher.start(reads, writes, log, preload)
        for pipe in (reads, writes):
            os.close(pipe)
        self._expect(RunLimits(START_TIMEOUT_SECS))

    @property
    def alive(self) -> bool:
        """Whether it has not ended, or is still to be forked by the server that holds the other end of its pipe."""
        if self._closed:
            return False
        ended = select.poll()
        ended.register(self._replies, 0)  # all have closed its other end
        if self._pidfd is not None:
            ended.register(self._pidfd, select.POLLIN)
        return not ended.poll(0)

    @property
    def pid(self) -> int | None:
        """Its process number, after waiting until it is there; None when it never came to be."""
        return self._server.pid(self._ticket)

    def send(self, request: Message, timeout_secs: float = math.inf, memory_bytes: int = 0) -> None:
        """Start a request; `memory_bytes` (0: no limit) is what it may take on top of what the worker has."""
        self._empty_log()
        self._number += 1
        self._expect(RunLimits(timeout_secs, memory_bytes))
        with contextlib.suppress(BrokenPipeError):  # the worker is gone: `poll` says so
            write_all(self._requests, Envelope(self._number, request).line())

    def kill(self) -> int | None:
        """End the worker and everything it started, now; returns its exit code where it can be known."""
        self.busy = False
        if self._closed:
            return None
        self._closed = True
        if self.pid is not None:
            kill_group(self.pid)
        for descriptor in (self._requests, self._replies, self._pidfd):
            if descriptor is not None:
                os.close(descriptor)
        return self._server.reap(self._ticket)

    @property
    def descriptors(self) -> tuple[int, ...]:
        """For selectors: one of them is readable when there may be a reply, or when it has ended."""
        return (self._replies,) if self._pidfd is None else (self._replies, self._pidfd)

    def poll(self, readable: Collection[int]) -> Outcome | None:
        """The outcome of the request under way, if it has ended; `readable` are those of its descriptors that are."""
        if self._replies in readable:
            return self._read()
        if readable:  # the pipe is open still: it left processes behind that hold it
            return self._died()
        most_bytes = self._limits.memory_bytes
        if most_bytes and tree_bytes(self.pid or 0) > self.resident_bytes + most_bytes:
            return self._killed(Ending.MEMORY)
        if time.monotonic() > self._sent + self._limits.timeout_secs:
            return self._killed(Ending.TIMEOUT)
        return None

    def _expect(self, limits: RunLimits) -> None:
        self._limits = limits
        self._cpu_secs = cpu_secs(self.pid) if self._number != READY and self.pid else 0.0
        self._sent = time.monotonic()
        self.busy = True

    def _read(self) -> Outcome | None:
        chunk = os.read(self._replies, 1 << 16)
        if not chunk:
            return self._died()
        *lines, self._received = (self._received + chunk).split(b"\n")
        for envelope in filter(None, map(_envelope, lines)):
            if envelope.number == self._number:
                return self._replied(envelope)
        return None

    def _replied(self, envelope: Envelope) -> Outcome:
        self.busy = False
        self.resident_bytes = envelope.resident_bytes
        if envelope.number == READY and self.pid is not None:
            self.first_bytes = envelope.resident_bytes
            self._pidfd = open_pid(self.pid)
        return Outcome(Ending.REPLY, envelope.message, elapsed_secs=time.monotonic() - self._sent)

    def _died(self) -> Outcome:
        """It closed its pipe: it has ended or will soon, or it lives on and is killed; or it never came to be."""
        elapsed_secs = time.monotonic() - self._sent
        pid = self.pid
        lives = pid is not None and not ends_within(pid, _ENDS_WITHIN_SECS)
        code = self.kill()
        if pid is None:
            code = self._launcher.exit_code(_ENDS_WITHIN_SECS)
        code = None if lives else code
        return Outcome(
            Ending.DIED,
            text=exit_text(code),
            code=code,
            log_tail=self.log_tail(),
            elapsed_secs=elapsed_secs,
            killed_from_outside=not lives and code in (None, -signal.SIGKILL),  # None: the fork server was killed too
        )

    def _killed(self, ending: Ending) -> Outcome:
        taken_secs = cpu_secs(self.pid or 0) - self._cpu_secs
        self.kill()
        text = self._limits.text(ending)
        elapsed_secs = time.monotonic() - self._sent
        return Outcome(ending, text=text, log_tail=self.log_tail(), elapsed_secs=elapsed_secs, cpu_secs=taken_secs)

    def log_tail(self) -> str:
        """The last of what the worker and its libraries printed; of the fork server where there was no worker."""
        return _tail(self._log) or _tail(self._launcher.log)

    def _empty_log(self) -> None:
        """What is in the log belongs to the request under way."""
        with contextlib.suppress(OSError):  # the log only serves messages
            if self._log is not None:
                os.truncate(self._log, 0)


def wait_any(workers: Iterable[WorkerProcess]) -> list[tuple[WorkerProcess, Outcome]]:
    """Wait one tick at most; the outcomes of those busy workers whose request has ended."""
    busy = [worker for worker in workers if worker.busy]
    with selectors.DefaultSelector() as selector:
        for worker in busy:
            for descriptor in worker.descriptors:
                selector.register(descriptor, selectors.EVENT_READ)
        readable = {key.fd for key, _ in selector.select(TICK_SECS)}
    polled = [(worker, worker.poll(readable.intersection(worker.descriptors))) for worker in busy]
    return [(worker, outcome) for worker, outcome in polled if outcome is not None]


def wait_for(worker: WorkerProcess) -> Outcome:
    """The outcome of this worker's request."""
    while True:
        for _, outcome in wait_any((worker,)):
            return outcome


class Worker:
    """A place for one worker process, which is replaced when it dies or is killed; use it in a `with` statement.

    `call` sends a request and waits for its `Outcome`: the reply, or how the process ended, which
    `outcome.cause_of_end` turns into a status. Processes die with the thread that made the worker.

    >>> with Worker.of_service("kernels") as worker:  # see `services` for the names
    ...     outcome = worker.call({"action": "drop", "keep": []}, timeout_secs=10, memory_bytes=1 << 30)
    >>> outcome.reply["status"]
    'ok'
    """

    def __init__(self, launcher: Launcher, log: Path | None = None, preload: str = "") -> None:
        """`preload` is what the service loads before a next process serves; `log` takes what that one prints."""
        self.preload = preload
        self.generation = 0
        self._launcher = launcher
        self._log = log
        self._process: WorkerProcess | None = None
        self._is_ready = False
        self._ends = ExitStack()
        self._at_close(self.stop)

    @classmethod
    def of_service(cls, service: str, options: str = "", cores: int = 1, preload: str = "") -> Self:
        """A worker of a named service, which gets the text `options`, on `cores` physical cores; it starts at once."""
        folder = PrivateFolder()
        interpreter = Interpreter(cores, folder.path)
        worker = cls(ServiceLauncher(service, options, interpreter), folder.path / "worker.log", preload)
        # The server first: should it be loading still, nobody waits for it.
        worker._at_close(interpreter.close, worker.stop, folder.close)
        worker.start()
        return worker

    @classmethod
    def of_function(cls, function: Function) -> Self:
        """A worker that calls a function of this process, which takes and returns what JSON can hold.

        Make it before other libraries start threads.
        """
        launcher = FunctionLauncher(function)
        worker = cls(launcher)
        worker._at_close(worker.stop, launcher.close)
        return worker

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def pid(self) -> int | None:
        """Process number of the process, if there is one."""
        return None if self._process is None else self._process.pid

    @property
    def grown_bytes(self) -> int:
        """The memory that the process had at its last reply beyond what it had when it started."""
        return self._process.resident_bytes - self._process.first_bytes if self._process else 0

    def start(self) -> None:
        """Start a process when there is none; it gets ready in the background."""
        if self._process is None or not self._process.alive:
            self.stop()
            self._process = WorkerProcess(self._launcher, self._log, self.preload)
            self._is_ready = False

    def ready(self) -> WorkerProcess:
        """The process, idle. Raises `WorkerError` when it dies twice before it takes any work."""
        for _ in range(_STARTS):
            self.start()
            assert self._process is not None  # made by `start`
            if self._is_ready:
                return self._process
            outcome = wait_for(self._process)
            if outcome.ending is Ending.REPLY:
                self._is_ready = True
                return self._process
            self.stop()
        raise WorkerError(f"a measuring worker does not start: {what_happened(outcome)}")

    def call(self, request: Message, timeout_secs: float = math.inf, memory_bytes: int = 0) -> Outcome:
        """Send a request and wait for its end. `memory_bytes` (0: any) counts on top of what the process has.

        A process that died or broke a limit is replaced; interrupted, the call ends its process.
        """
        try:
            process = self.ready()
            process.send(request, timeout_secs, memory_bytes)
            return self.ended(wait_for(process))
        except BaseException:
            self.stop()
            raise

    def ended(self, outcome: Outcome) -> Outcome:
        """Take note of how a request ended that was sent to the process itself."""
        if outcome.ending is not Ending.REPLY:
            self.stop()
            self.start()
        return outcome

    def stop(self) -> None:
        """End the process, if there is one; `generation` counts those that have ended."""
        if self._process is not None:
            self._process.kill()
            self._process = None
            self.generation += 1

    def close(self) -> None:
        """End the process, and the fork server if this worker has one of its own."""
        self._ends.close()

    def _at_close(self, *steps: Callable[[], object]) -> None:
        for step in reversed(steps):
            self._ends.callback(step)


def _envelope(line: bytes) -> Envelope | None:
    """None for a line that is no reply: what else has written there has nothing to say."""
    try:
        return Envelope.parse(line)
    except (ValueError, KeyError, TypeError):
        return None


def _tail(path: Path | None) -> str:
    if path is None:
        return ""
    try:
        with path.open("rb") as log:
            log.seek(0, os.SEEK_END)
            log.seek(max(0, log.tell() - _TAIL_BYTES))
            return log.read().decode(errors="replace").strip()
    except OSError:
        return ""
