"""The parent's side of one worker process: requests, replies, limits, death."""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any

from flextune.errors import WorkerError
from flextune.measure.limits import resident_bytes
from flextune.measure.messages import Message, decode_line, encode_line
from flextune.measure.options import MeasureOptions

TICK_SECS = 0.03
START_TIMEOUT_SECS = 120.0
_TAIL_BYTES = 2000
SPIN_COUNT = 20_000
"""How long TVM's threads spin for the next call before they sleep (its own default is 300 000, tens of milliseconds);
short enough that a worker that is done does not disturb the next one."""


class Ending(Enum):
    """Why a request ended."""

    REPLY = "reply"
    DIED = "died"
    TIMEOUT = "timeout"
    MEMORY = "memory"


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a request ended: with a `reply`, or with the worker gone and `text` saying why."""

    ending: Ending
    reply: Message = field(default_factory=dict)
    text: str = ""
    log_tail: str = ""
    elapsed_secs: float = 0.0


class WorkerProcess:
    """One worker; it takes one request at a time and is killed, with all it started, when it breaks a limit.

    `resident_bytes` is the memory it had in RAM at its last reply. `kind` names the platform that it loads at once.
    """

    def __init__(self, options: MeasureOptions, cores: int, log: Path, kind: str = "") -> None:
        self._log = log
        self._received = b""
        self._sent = 0.0
        self._timeout_secs = 0.0
        self._memory_bytes = 0
        self.resident_bytes = 0
        self.busy = False
        self._popen = _spawn(options, cores, log, kind)
        self._expect(START_TIMEOUT_SECS, 0)

    @property
    def alive(self) -> bool:
        return self._popen.poll() is None

    @property
    def pid(self) -> int:
        return self._popen.pid

    def send(self, request: Message, timeout_secs: float, memory_bytes: int = 0) -> None:
        """Start a request; `memory_bytes` (0: no limit) is what it may take on top of what the worker has."""
        self._empty_log()
        self._expect(timeout_secs, memory_bytes)
        try:
            _pipe(self._popen.stdin).write(encode_line(request))
            _pipe(self._popen.stdin).flush()
        except BrokenPipeError:
            return  # the worker is gone: `poll` says so

    def kill(self) -> None:
        """End the worker and everything it started, now."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._popen.pid, signal.SIGKILL)
        self._popen.wait()
        for pipe in (self._popen.stdin, self._popen.stdout):
            try:
                _pipe(pipe).close()
            except BrokenPipeError:
                continue  # what was left to send is lost with the worker
        self.busy = False

    def fileno(self) -> int:
        """For selectors: readable when there may be a reply."""
        number: int = _pipe(self._popen.stdout).fileno()
        return number

    def poll(self, readable: bool) -> Outcome | None:
        """The outcome of the request under way, if it has ended."""
        if readable:
            return self._read()
        if self._memory_bytes and resident_bytes(self.pid) > self.resident_bytes + self._memory_bytes:
            return self._killed(Ending.MEMORY, f"more than {self._memory_bytes >> 20} MiB of memory")
        if time.monotonic() > self._sent + self._timeout_secs:
            return self._killed(Ending.TIMEOUT, f"no end after {self._timeout_secs:g} s")
        return None

    def _expect(self, timeout_secs: float, memory_bytes: int) -> None:
        self._timeout_secs = timeout_secs
        self._sent = time.monotonic()
        self._memory_bytes = memory_bytes
        self.busy = True

    def _read(self) -> Outcome | None:
        chunk = os.read(self.fileno(), 1 << 16)
        if not chunk:
            return self._died()
        self._received += chunk
        line, newline, rest = self._received.partition(b"\n")
        if not newline:
            return None
        self._received = rest
        self.busy = False
        return self._replied(decode_line(line))

    def _replied(self, reply: dict[str, Any]) -> Outcome:
        self.resident_bytes = int(reply["resident_bytes"])
        return Outcome(Ending.REPLY, reply, elapsed_secs=time.monotonic() - self._sent)

    def _died(self) -> Outcome:
        with contextlib.suppress(subprocess.TimeoutExpired):  # it closed the pipe but lives on: killed below
            self._popen.wait(1.0)
        code = self._popen.poll()
        return self._killed(Ending.DIED, exit_text(code))

    def _killed(self, ending: Ending, text: str) -> Outcome:
        self.kill()
        return Outcome(ending, text=text, log_tail=self.log_tail(), elapsed_secs=time.monotonic() - self._sent)

    def log_tail(self) -> str:
        """The last of what the worker and its libraries printed."""
        try:
            with self._log.open("rb") as log:
                log.seek(0, os.SEEK_END)
                log.seek(max(0, log.tell() - _TAIL_BYTES))
                return log.read().decode(errors="replace").strip()
        except OSError:
            return ""

    def _empty_log(self) -> None:
        """What is in the log belongs to the request under way."""
        try:
            os.truncate(self._log, 0)
        except OSError:
            return  # the log only serves messages


def wait_any(workers: Iterable[WorkerProcess]) -> list[tuple[WorkerProcess, Outcome]]:
    """Wait one tick at most; the outcomes of those busy workers whose request has ended."""
    busy = [worker for worker in workers if worker.busy]
    with selectors.DefaultSelector() as selector:
        for worker in busy:
            selector.register(worker, selectors.EVENT_READ)
        readable = {key.fileobj for key, _ in selector.select(TICK_SECS)}
    polled = [(worker, worker.poll(worker in readable)) for worker in busy]
    return [(worker, outcome) for worker, outcome in polled if outcome is not None]


def wait_for(worker: WorkerProcess) -> Outcome:
    """The outcome of this worker's request."""
    while True:
        for _, outcome in wait_any((worker,)):
            return outcome


def exit_text(code: int | None) -> str:
    """How a process ended, by the name of the signal if there was one.

    >>> exit_text(-11)
    'worker killed by SIGSEGV'
    """
    if code is None:
        return "worker closed its pipe"
    if code >= 0:
        return f"worker ended with exit code {code}"
    try:
        return f"worker killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"worker killed by signal {-code}"


def _spawn(options: MeasureOptions, cores: int, log: Path, kind: str) -> subprocess.Popen[bytes]:
    source = str(Path(__file__).parents[2])
    inherited = os.environ.get("PYTHONPATH")
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(filter(None, (source, inherited))),
        "TVM_NUM_THREADS": str(cores),
        "TVM_BIND_THREADS": "0",
        "TVM_THREAD_POOL_SPIN_COUNT": str(SPIN_COUNT),
    }
    # -P: the current folder stays off the module path, where a stray numpy.py would be found first
    arguments = (str(os.getpid()), str(cores), str(options), kind)
    command = [sys.executable, "-P", "-m", "flextune.measure.worker", *arguments]
    try:
        with log.open("ab") as errors:
            return subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                env=environment,
                start_new_session=True,
            )
    except OSError as error:
        raise WorkerError(f"a measuring worker could not be started: {error}") from error


def _pipe(pipe: Any) -> Any:
    assert pipe is not None  # both are made with PIPE
    return pipe
