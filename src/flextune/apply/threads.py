"""TVM's thread pool for a user's process: all physical cores, no thread bound to one of them.

TVM starts one pool per calling thread, by default with half of the logical processors, and binds the workers to fixed
cores while the caller floats. When the scheduler puts the caller on a worker's core, both run at half speed, and a
second process with its own pool binds to the very same cores. Here the workers share all cores of the pool and the
operating system spreads them; the caller keeps the affinity it had.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import tvm

from flextune.target import kinds
from flextune.target.host import host, physical_cpus
from flextune.target.target import Target

Result = TypeVar("Result")

SHARE_ALL_CORES = -3
"""TVM's affinity mode `kSpecifyThreadShareAllCore` (src/runtime/threading_backend.h)."""


class PoolThreads:
    """Runs functions on a TVM pool of `count` threads; the pool belongs to the thread it was first used from.

    TVM cannot enlarge a pool that it has started. Where the calling thread already has a smaller one, functions run in
    a thread of our own instead, at the cost of a hand-over.
    """

    def __init__(self, count: int) -> None:
        self.count = count
        self._ready = threading.local()
        self._own: ThreadPoolExecutor | None = None
        self._lock = threading.Lock()

    def call(self, function: Callable[[], Result]) -> Result:
        """`function()` with the pool ready."""
        if self._is_ready():
            return function()
        return self._own_thread().submit(function).result()

    def _is_ready(self) -> bool:
        if not hasattr(self._ready, "value"):
            self._ready.value = start_pool(self.count) >= self.count
        return bool(self._ready.value)

    def _own_thread(self) -> ThreadPoolExecutor:
        with self._lock:
            if self._own is None:
                self._own = ThreadPoolExecutor(1, "flextune", initializer=start_pool, initargs=(self.count,))
            return self._own


def start_pool(count: int) -> int:
    """Give the calling thread's pool `count` unbound threads; returns how many it has (fewer if it was there)."""
    configure = tvm.get_global_func("runtime.config_threadpool")
    affinity = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else None
    configure(SHARE_ALL_CORES, count, [str(cpu) for cpu in pool_cpus(count)])
    if affinity is not None:
        os.sched_setaffinity(0, affinity)
    return int(tvm.get_global_func("runtime.NumThreads")())


def pool_cpus(count: int) -> list[int]:
    """`count` processors, one per physical core first; repeated when more threads are asked for than there are."""
    cpus = list(physical_cpus())
    return [cpus[index % len(cpus)] for index in range(count)]


def default_thread_count(target: Target | None = None) -> int:
    """One thread per physical core this process may use; of a target that is no machine to run on here, its cores."""
    if target is not None and not kinds.runs_here(target):
        return target.cores
    return max(1, host().physical_cores)
