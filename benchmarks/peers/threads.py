"""Where a peer's threads run, and whether a process is at rest: read from /proc, the same for every library."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

WATCHED_SECS = 0.25
WORKING_SHARE = 0.2
"""Of the calling thread's processor time; a thread with less is not one that computes."""

_STATE, _USER_TICKS, _SYSTEM_TICKS = 0, 11, 12


def place_threads(run: Callable[[], object], cores: Sequence[int]) -> int:
    """Puts the calling thread on the first core and every thread that works in `run` on one of the others.

    Returns how many threads work. They are found by their processor time while `run` is called over and over; with
    fewer working threads than cores, cores stay empty.
    """
    caller = threading.get_native_id()
    before = _ticks()
    until = time.perf_counter() + WATCHED_SECS
    while time.perf_counter() < until:
        run()
    spent = {thread: ticks - before.get(thread, 0) for thread, ticks in _ticks().items()}
    least = max(1.0, WORKING_SHARE * spent.get(caller, 0))
    workers = sorted(thread for thread, ticks in spent.items() if thread != caller and ticks >= least)
    for place, thread in enumerate(workers, 1):
        _pin(thread, cores[place % len(cores)])
    _pin(0, cores[0])
    return len(workers) + 1


def at_rest(pid: int) -> bool:
    """Whether all threads of the process sleep: none computes, and none spins for the next call."""
    return all(fields[_STATE] not in ("R", "D") for fields in _stats(pid).values())


def wait_at_rest(pids: Sequence[int], timeout_secs: float) -> bool:
    """Waits until all these processes are at rest at two looks in a row; False when that takes too long."""
    until = time.monotonic() + timeout_secs
    calm = 0
    while calm < 2:
        calm = calm + 1 if all(map(at_rest, pids)) else 0
        if time.monotonic() > until:
            return False
        time.sleep(0.002)
    return True


def _ticks() -> dict[int, int]:
    """Processor time of each thread of this process, in the kernel's clock ticks."""
    return {
        thread: int(fields[_USER_TICKS]) + int(fields[_SYSTEM_TICKS]) for thread, fields in _stats(os.getpid()).items()
    }


def _stats(pid: int) -> dict[int, list[str]]:
    """The fields of each thread's `stat` after its name; empty where there is no such process or no /proc."""
    found: dict[int, list[str]] = {}
    try:
        threads = list(Path(f"/proc/{pid}/task").iterdir())
    except OSError:
        return found
    for thread in threads:
        try:
            found[int(thread.name)] = (thread / "stat").read_text().rpartition(") ")[2].split()
        except OSError:
            continue  # it ended meanwhile
    return found


def _pin(thread: int, core: int) -> None:
    try:
        os.sched_setaffinity(thread, {core})
    except (OSError, AttributeError):
        return  # ended meanwhile, or a system without affinity: it stays where it is
