"""How fast the machine is right now: `python -m benchmarks.model_peers.probe NAME FOLDER PARENT_PID`.

A virtual machine can lose a third of its speed for seconds, when a neighbour uses the other half of its cores. Asked
before and after a turn, the probe tells such moments from calm ones without a look at what the turn measured.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from threading import Barrier

import numpy as np

from benchmarks.model_peers.call import ModelJob
from benchmarks.peers.catalog import Peer
from benchmarks.peers.server import serve
from flextune.measure.limits import die_with_parent

PROBE = Peer("probe", "benchmarks.model_peers.probe")

_SIZE = 192
_PRODUCTS = 12
_STREAMED_BYTES = 4 << 20
_COPIES = 4


@dataclass(frozen=True, slots=True)
class ProbeJob:
    """The job as the probe's process is started for it: its libraries have one thread, itself one per core."""

    folder: str
    threads: int = 1


class Probe:
    """The same work on all cores at once: products of matrices in each core's own cache, then copies of larger arrays.

    The two tell of neighbours on the cores and of neighbours in the shared cache and memory.
    """

    def __init__(self, cores: Sequence[int]) -> None:
        self._cores = cores
        self._barrier = Barrier(len(cores))
        self._pool = ThreadPoolExecutor(len(cores))
        self._arrays = [_Arrays() for _ in cores]

    def answer(self, request: str) -> dict[str, object]:
        """Seconds that the slowest core takes for each of the two."""
        del request
        compute, copy = zip(*self._pool.map(self._work, self._cores, self._arrays), strict=True)
        return {"secs": [max(compute), max(copy)]}

    def _work(self, core: int, arrays: _Arrays) -> tuple[float, float]:
        if hasattr(os, "sched_setaffinity"):
            os.sched_setaffinity(0, {core})
        self._barrier.wait()
        start = time.perf_counter()
        for _ in range(_PRODUCTS):
            np.matmul(arrays.factor, arrays.factor, out=arrays.product)
        between = time.perf_counter()
        for _ in range(_COPIES):
            np.copyto(arrays.copy, arrays.source)
        return between - start, time.perf_counter() - between


class _Arrays:
    """What one core works on."""

    def __init__(self) -> None:
        self.factor = np.ones((_SIZE, _SIZE), np.float32)
        self.product = np.empty_like(self.factor)
        self.source = np.ones(_STREAMED_BYTES, np.uint8)
        self.copy = np.empty_like(self.source)


def main(arguments: list[str]) -> None:
    _name, folder, parent_pid = arguments
    replies = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    die_with_parent(int(parent_pid))
    serve(Probe(ModelJob.read(folder).cores), replies)
    os._exit(0)


if __name__ == "__main__":
    main(sys.argv[1:])
