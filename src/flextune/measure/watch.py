"""Waiting for a process that may hang, or take all memory: what it may take, and what ends the wait."""

from __future__ import annotations

import contextlib
import math
import os
import selectors
import signal
import time
from dataclasses import dataclass

from flextune.errors import UsageError
from flextune.measure.ending import Ending
from flextune.measure.process_limits import children_of, is_running, resident_bytes

TICK_SECS = 0.03


@dataclass(frozen=True, slots=True)
class RunLimits:
    """What one run may take: seconds, and bytes of RAM with all the processes it starts (0: any)."""

    timeout_secs: float = math.inf
    memory_bytes: int = 0

    def __post_init__(self) -> None:
        if not self.timeout_secs > 0:
            raise UsageError(f"a timeout must be positive, got {self.timeout_secs} s")
        if self.memory_bytes < 0:
            raise UsageError(f"a memory limit must not be negative, got {self.memory_bytes}")

    def text(self, ending: Ending) -> str:
        """How a broken limit reads."""
        if ending is Ending.MEMORY:
            return f"more than {self.memory_bytes >> 20} MiB of memory"
        return f"no end after {self.timeout_secs:g} s"


class ProcessWatch:
    """One process from its start on: readable, ended, or over a limit."""

    def __init__(self, pid: int, limits: RunLimits, own_bytes: int = 0) -> None:
        """`own_bytes` of its memory do not count."""
        self.pid = pid
        self._limits = limits
        self._most_bytes = limits.memory_bytes + own_bytes
        self._pidfd = open_pid(pid)

    def wait(self, fd: int | None = None) -> Ending:
        """`REPLY` as soon as `fd` can be read, `DIED` when the process has ended, or the limit that it broke.

        The clock of the limit starts with the call.
        """
        return self._wait(fd, self._limits.timeout_secs)

    def ended_within(self, secs: float) -> bool:
        """Whether the process ends by itself in this time."""
        return self._wait(None, secs) is Ending.DIED

    def _wait(self, fd: int | None, secs: float) -> Ending:
        deadline = time.monotonic() + secs
        with selectors.DefaultSelector() as selector:
            for watched in (fd, self._pidfd):
                if watched is not None:
                    selector.register(watched, selectors.EVENT_READ)
            while True:
                readable = {key.fd for key, _ in selector.select(max(0.0, min(TICK_SECS, deadline - time.monotonic())))}
                if fd in readable:
                    return Ending.REPLY
                if readable or (self._pidfd is None and not is_running(self.pid)):
                    return Ending.DIED
                if self._limits.memory_bytes and tree_bytes(self.pid) > self._most_bytes:
                    return Ending.MEMORY
                if time.monotonic() > deadline:
                    return Ending.TIMEOUT

    def close(self) -> None:
        if self._pidfd is not None:
            os.close(self._pidfd)
            self._pidfd = None


def ends_within(pid: int, secs: float) -> bool:
    """Whether a process ends by itself in this time."""
    watch = ProcessWatch(pid, RunLimits())
    try:
        return watch.ended_within(secs)
    finally:
        watch.close()


def tree_bytes(pid: int) -> int:
    """Memory in RAM of a process and all that it started and that still belongs to it."""
    return resident_bytes(pid) + sum(map(tree_bytes, children_of(pid)))


def kill_group(pid: int) -> None:
    """Kill the process group that this process leads, and the process should it not lead one yet."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(pid, signal.SIGKILL)


def open_pid(pid: int) -> int | None:
    """A descriptor that is readable once the process has ended; None where the system has no such thing."""
    try:
        return os.pidfd_open(pid)
    except (AttributeError, OSError):
        return None
