"""The parent's side of one worker process: requests, replies, limits, death."""

from __future__ import annotations

import contextlib
import os
import select
import selectors
import signal
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from flextune.measure.ending import Ending, Outcome, exit_text
from flextune.measure.limits import resident_bytes
from flextune.measure.messages import Message, decode_line, encode_line
from flextune.measure.watch import TICK_SECS, ends_within, kill_group
from flextune.measure.worker_nursery import WorkerNursery

START_TIMEOUT_SECS = 120.0
_TAIL_BYTES = 2000
_ENDS_WITHIN_SECS = 1.0


class WorkerProcess:
    """One worker; it takes one request at a time and is killed, with all it started, when it breaks a limit.

    `resident_bytes` is the memory it had in RAM at its last reply. `kind` names the platform that it loads at once.
    """

    def __init__(self, nursery: WorkerNursery, log: Path, kind: str = "") -> None:
        self._log = log
        self._received = b""
        self._sent = 0.0
        self._timeout_secs = 0.0
        self._memory_bytes = 0
        self.resident_bytes = 0
        self.busy = False
        self._closed = False
        self._forks = nursery
        reads, self._requests = os.pipe()
        self._replies, writes = os.pipe()
        self._nursery, self._ticket = nursery.start(reads, writes, log, kind)
        for pipe in (reads, writes):
            os.close(pipe)
        self._expect(START_TIMEOUT_SECS, 0)

    @property
    def alive(self) -> bool:
        """Whether somebody holds the other end of its pipe: it, or the nursery that has not got to it yet."""
        if self._closed:
            return False
        hung_up = select.poll()
        hung_up.register(self._replies, 0)
        return not hung_up.poll(0)

    @property
    def pid(self) -> int | None:
        """Its process number, after waiting until it is there; None when it never came to be."""
        return self._nursery.pid(self._ticket)

    def send(self, request: Message, timeout_secs: float, memory_bytes: int = 0) -> None:
        """Start a request; `memory_bytes` (0: no limit) is what it may take on top of what the worker has."""
        self._empty_log()
        self._expect(timeout_secs, memory_bytes)
        with contextlib.suppress(BrokenPipeError):  # the worker is gone: `poll` says so
            write_all(self._requests, encode_line(request))

    def kill(self) -> int | None:
        """End the worker and everything it started, now; returns its exit code where it can be known."""
        self.busy = False
        if self._closed:
            return None
        self._closed = True
        if self.pid is not None:
            kill_group(self.pid)
        for pipe in (self._requests, self._replies):
            os.close(pipe)
        return self._nursery.reap(self._ticket)

    def fileno(self) -> int:
        """For selectors: readable when there may be a reply."""
        return self._replies

    def poll(self, readable: bool) -> Outcome | None:
        """The outcome of the request under way, if it has ended."""
        if readable:
            return self._read()
        if self._memory_bytes and resident_bytes(self.pid or 0) > self.resident_bytes + self._memory_bytes:
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
        """It closed its pipe: it has ended or will soon, or it lives on and is killed; or it never came to be."""
        elapsed_secs = time.monotonic() - self._sent
        pid = self.pid
        lives = pid is not None and not ends_within(pid, _ENDS_WITHIN_SECS)
        code = self.kill()
        if pid is None:
            code = self._forks.exit_code(_ENDS_WITHIN_SECS)
        return Outcome(
            Ending.DIED,
            text=exit_text(None if lives else code),
            log_tail=self.log_tail(),
            elapsed_secs=elapsed_secs,
            killed_from_outside=not lives and code in (None, -signal.SIGKILL),  # None: the nursery was killed too
        )

    def _killed(self, ending: Ending, text: str) -> Outcome:
        self.kill()
        return Outcome(ending, text=text, log_tail=self.log_tail(), elapsed_secs=time.monotonic() - self._sent)

    def log_tail(self) -> str:
        """The last of what the worker and its libraries printed; of the nursery where there was no worker."""
        return _tail(self._log) or _tail(self._forks.log)

    def _empty_log(self) -> None:
        """What is in the log belongs to the request under way."""
        try:
            os.truncate(self._log, 0)
        except OSError:
            return  # the log only serves messages


def write_all(pipe: int, data: bytes) -> None:
    """Write until everything is written. Raises `BrokenPipeError` when nobody reads any more."""
    while data:
        data = data[os.write(pipe, data) :]


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


def _tail(path: Path) -> str:
    try:
        with path.open("rb") as log:
            log.seek(0, os.SEEK_END)
            log.seek(max(0, log.tell() - _TAIL_BYTES))
            return log.read().decode(errors="replace").strip()
    except OSError:
        return ""
