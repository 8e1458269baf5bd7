"""Measures this host's peaks and prints them as JSON: `python -m flextune.target.peak_measurement TARGET CPU,CPU,...`.

Runs as a process of its own, without TVM's threads: one Python thread per physical core, bound to it, calls a loop
of machine code, all released together. A repeat's rate is the work of all cores over the time from the first start
to the last end; the peak is the best repeat. Repeats go on, for a bounded time, until the best ones agree. Where other
processes took the cores all the while, the loops that only compute are rated by the processor time they got instead.
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from flextune.aligned import aligned_empty
from flextune.lifetime import die_with_parent
from flextune.target import kinds
from flextune.target.kind import Cache
from flextune.target.peak_loops import Loop, PeakLoop
from flextune.target.peaks import Peaks
from flextune.target.target import Target

REPEAT_SECS = 0.025
REPEATS = 10
"""At least this many repeats of each loop, and `FEWEST_REPEATS` of one that takes long."""
FEWEST_REPEATS = 3
LIMIT_SECS = 0.8
"""After this long a loop that never ran undisturbed is given up; all loops stay under 10 seconds."""

_QUIET_SHARE = 0.97
_MOST_OF_BELOW = 4
"""A level is read over at most so many times what fits in the one below: enough to be beyond that, and near."""

T = TypeVar("T")
Memory = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Repeat:
    """One simultaneous run of all cores: wall time, the share of it that the threads spent on a processor, and
    `busy_secs`, the time it would have taken had each thread's processor time been all."""

    secs: float
    busy_share: float
    busy_secs: float


@dataclass(frozen=True, slots=True)
class Rate:
    """Work per second of the best repeat; not `quiet` if something else took the cores in all of them."""

    per_sec: float
    quiet: bool


def measure(target: Target, cpus: Sequence[int]) -> Peaks:
    """Peaks of `target.cores` cores; `cpus` are the logical processors to choose from, one per physical core."""
    bound = list(cpus) if len(cpus) == target.cores else [None] * target.cores
    loops = kinds.host_support(kinds.get(target.kind)).peak_loops(target, cpus)

    def rate(loop: PeakLoop) -> Rate:
        return best_rate(loop, _own_memories(loop.memory_bytes, bound), bound)

    float32, int8, read = rate(loops.float32), rate(loops.int8), rate(loops.read)
    bfloat16 = rate(loops.bfloat16) if loops.bfloat16 else float32
    sizes = cached_bytes(kinds.get(target.kind).caches(target), target.cores, loops.read)
    caches = {level: rate(replace(loops.read, memory_bytes=size)) for level, size in sizes.items()}
    return Peaks(
        float32_flops=float32.per_sec,
        bfloat16_flops=bfloat16.per_sec,
        int8_ops=int8.per_sec,
        memory_bytes_per_sec=read.per_sec,
        cache_bytes_per_sec=tuple((level, each.per_sec) for level, each in caches.items()),
        quiet=all(each.quiet for each in (float32, int8, bfloat16, read, *caches.values())),
    )


def cached_bytes(caches: Sequence[Cache], cores: int, read: PeakLoop) -> dict[str, int]:
    """How much a core reads again and again to find the rate of each level: half of its share, in whole trips.

    A level without room for more than the one below it, or for less than `read` streams through anyway, is left out.
    """
    sizes: dict[str, int] = {}
    below = 0
    for cache in caches:
        share = cache.size_bytes if cache.per_core else cache.size_bytes // cores
        size = min(share // 2, _MOST_OF_BELOW * below or share)
        size -= size % read.work_per_trip
        if below < size < read.memory_bytes:
            sizes[cache.name] = size
        below = share
    return sizes


def best_rate(loop: PeakLoop, memories: Sequence[Memory], cpus: Sequence[int | None]) -> Rate:
    """The best repeat of several; more of them while they disagree or something else takes the cores."""
    trips, calls, secs = _calibrate(loop, memories[0])
    work = loop.work_per_trip * trips * calls * len(cpus)
    count = max(FEWEST_REPEATS, min(REPEATS, round(REPEATS * REPEAT_SECS / secs)))
    repeats: list[Repeat] = []
    started = time.perf_counter()
    while not repeats or (not _agree(repeats) and time.perf_counter() - started < LIMIT_SECS):
        repeats += run_together(loop.call, memories, trips, calls, cpus, count)
    best = min(repeats, key=lambda repeat: repeat.secs)
    if best.busy_share >= _QUIET_SHARE or loop.streams:
        return Rate(work / best.secs, best.busy_share >= _QUIET_SHARE)
    return Rate(work / min(repeat.busy_secs for repeat in repeats), quiet=False)


def run_together(
    loop: Loop, memories: Sequence[Memory], trips: int, calls: int, cpus: Sequence[int | None], count: int
) -> list[Repeat]:
    """`count` repeats of `calls` calls on every core, each repeat started on all cores at once."""
    barrier = threading.Barrier(len(cpus))

    def work(index: int) -> list[tuple[float, float, float]]:
        address, spans = memories[index].ctypes.data, []
        for _ in range(count):
            barrier.wait()
            start, start_busy = time.perf_counter(), time.thread_time()
            for _ in range(calls):
                loop(address, trips)
            spans.append((start, time.perf_counter(), time.thread_time() - start_busy))
        return spans

    return [_repeat(spans) for spans in zip(*_on_each_core(work, cpus), strict=True)]


def _repeat(spans: Sequence[tuple[float, float, float]]) -> Repeat:
    secs = max(end for _, end, _ in spans) - min(start for start, _, _ in spans)
    busy = [busy for _, _, busy in spans]
    return Repeat(secs, sum(busy) / (secs * len(busy)), statistics.harmonic_mean(busy))


def _agree(repeats: Sequence[Repeat]) -> bool:
    """Whether the three best repeats are within 1 % and the best one had the cores to itself."""
    best, _, third = sorted(repeats, key=lambda repeat: repeat.secs)[:3]
    return third.secs <= 1.01 * best.secs and best.busy_share >= _QUIET_SHARE


def _calibrate(loop: PeakLoop, memory: Memory) -> tuple[int, int, float]:
    """Trips per call, calls per repeat, and the seconds of a repeat: `REPEAT_SECS` where one call takes less."""
    trips = len(memory) // loop.work_per_trip if loop.streams else 20_000
    secs = _elapsed(loop.call, memory.ctypes.data, trips)
    if secs < REPEAT_SECS:
        secs = min(secs, *(_elapsed(loop.call, memory.ctypes.data, trips) for _ in range(4)))
    factor = max(1.0, REPEAT_SECS / secs)
    calls = round(factor + 0.5) if loop.streams else 1
    return (trips, calls, calls * secs) if loop.streams else (round(trips * factor), 1, factor * secs)


def _elapsed(loop: Loop, address: int, trips: int) -> float:
    start = time.perf_counter()
    loop(address, trips)
    return time.perf_counter() - start


def _own_memories(size_bytes: int, cpus: Sequence[int | None]) -> list[Memory]:
    """One memory per core, first written by a thread on that core, which places it near."""
    return _on_each_core(lambda _: aligned_memory(size_bytes), cpus)


def aligned_memory(size_bytes: int) -> Memory:
    """Ones, at an address that vectors can be loaded from."""
    memory: Memory = aligned_empty((size_bytes,), np.uint8)
    memory.fill(1)
    return memory


def _on_each_core(work: Callable[[int], T], cpus: Sequence[int | None]) -> list[T]:
    """Results of `work(index)` in one thread per entry of `cpus`, bound to that processor unless it is None."""

    def bound_work(index: int, cpu: int | None) -> T:
        if cpu is not None:
            os.sched_setaffinity(threading.get_native_id(), {cpu})
        return work(index)

    with ThreadPoolExecutor(max_workers=len(cpus)) as threads:
        return [future.result() for future in [threads.submit(bound_work, *item) for item in enumerate(cpus)]]


def main(arguments: Sequence[str]) -> None:
    die_with_parent(os.getppid())
    text, cpus = arguments
    peaks = measure(Target.parse(text), [int(cpu) for cpu in cpus.split(",")])
    sys.stdout.write(json.dumps(asdict(peaks)) + "\n")
    sys.stdout.flush()
    os._exit(0)  # a process that holds compiled modules can crash while the interpreter shuts down


if __name__ == "__main__":
    main(sys.argv[1:])
