"""What the operating system lets a worker take: memory, processors, and life after its parent."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import sys
import time
from collections.abc import Container, Iterator
from contextlib import contextmanager
from pathlib import Path

if sys.platform != "win32":
    import resource

_PR_SET_CHILD_SUBREAPER = 36
_THREAD_ADDRESS_BYTES = 160 << 20
_ENDING_SECS = 5.0
_TOPOLOGY = "/sys/devices/system/cpu/cpu{}/topology/thread_siblings_list"


def adopt_orphans() -> None:
    """Have the kernel make this process the parent of what its descendants leave behind, so that it can end that."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1)


def children_of(pid: int) -> set[int]:
    """Process numbers of the children of all threads of a process; of one that has ended there are none."""
    found: set[int] = set()
    with contextlib.suppress(OSError):
        for thread in os.listdir(f"/proc/{pid}/task"):
            with contextlib.suppress(OSError):
                found.update(map(int, Path(f"/proc/{pid}/task/{thread}/children").read_text().split()))
    return found


def end_children(kept: Container[int] = ()) -> None:
    """Kill the children of this process but for some, what those leave to it in turn, and so on."""
    deadline = time.monotonic() + _ENDING_SECS
    while (children := {pid for pid in children_of(os.getpid()) if pid not in kept}) and time.monotonic() < deadline:
        for pid in children:
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        for pid in children:
            with contextlib.suppress(OSError):
                os.waitpid(pid, 0)


def resident_bytes(pid: int | str = "self") -> int:
    """Memory of a process in RAM, 0 when it is gone or the system does not tell."""
    return _statm(pid, 1)


def cpu_secs(pid: int) -> float:
    """Processor time of a process and its children that are there, and of those that it has waited for."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK") + sum(map(cpu_secs, children_of(pid)))


def is_running(pid: int) -> bool:
    """Whether a process is there and has not ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


@contextmanager
def memory_limit(extra_bytes: int, threads: int) -> Iterator[None]:
    """Inside, this process cannot map more than `extra_bytes` on top of what it has: allocations fail beyond it.

    New threads reserve addresses that they hardly use; room for `threads` of them is left on top.
    """
    mapped = _statm("self", 0)
    if not mapped:
        yield
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    most = mapped + extra_bytes + threads * _THREAD_ADDRESS_BYTES
    resource.setrlimit(resource.RLIMIT_AS, (most if hard == resource.RLIM_INFINITY else min(most, hard), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def _statm(pid: int | str, column: int) -> int:
    try:
        text = Path(f"/proc/{pid}/statm").read_text()
    except OSError:
        return 0
    return int(text.split()[column]) * os.sysconf("SC_PAGE_SIZE")


def available_processors() -> tuple[int, ...]:
    """Logical processors this process may use, one per physical core first, then their siblings."""
    if not hasattr(os, "sched_getaffinity"):
        return tuple(range(os.cpu_count() or 1))
    allowed = sorted(os.sched_getaffinity(0))
    siblings = {processor: _siblings(processor) for processor in allowed}
    firsts = [processor for processor in allowed if processor == min(siblings[processor] & set(allowed))]
    return (*firsts, *(processor for processor in allowed if processor not in firsts))


def _siblings(processor: int) -> set[int]:
    try:
        text = Path(_TOPOLOGY.format(processor)).read_text().strip()
    except OSError:
        return {processor}
    found: set[int] = {processor}
    for part in text.split(","):
        low, _, high = part.partition("-")
        found.update(range(int(low), int(high or low) + 1))
    return found


class ThreadPlaces:
    """Gives every thread of a parallel program its own core while it is timed.

    TVM's pool binds its threads to the cores 1..n-1 of the machine and leaves the calling thread free; when the
    scheduler puts the caller on a core of the pool, both run at half speed, and a process that may use only some of
    the machine's cores gets others. So TVM's own binding is switched off (`TVM_BIND_THREADS=0`) and done here, within
    the processors that this process may use: the caller goes to the first core while timing, and is free otherwise.
    """

    def __init__(self, cores: int) -> None:
        processors = available_processors()
        self._cores = processors[:cores]
        self._everything = set(processors)
        self._seen = _threads()

    def place_new_threads(self) -> None:
        """Pin threads that appeared since the last call, one per core, the first core left for the caller."""
        for index, thread in enumerate(sorted(_threads() - self._seen)):
            _pin(thread, {self._cores[(index + 1) % len(self._cores)]})
            self._seen.add(thread)

    @contextmanager
    def caller_pinned(self) -> Iterator[None]:
        """Inside, the calling thread stays on the first core."""
        _pin(0, {self._cores[0]})
        try:
            yield
        finally:
            _pin(0, self._everything)


def _threads() -> set[int]:
    try:
        return {int(name) for name in os.listdir("/proc/self/task")}
    except OSError:
        return set()


def _pin(thread: int, processors: set[int]) -> None:
    """Threads come and go, and some systems have no affinity: then the thread stays where it is."""
    if hasattr(os, "sched_setaffinity"):
        try:
            os.sched_setaffinity(thread, processors)
        except OSError:
            return
