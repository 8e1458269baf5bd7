"""The process of one peer for one model: `python -m benchmarks.model_peers.server PEER FOLDER PARENT_PID`.

Answers `prepare`, `time` and `check` on standard input with one JSON object a line.
"""

from __future__ import annotations

import math
import os
import statistics
import sys
import time
from collections.abc import Sequence

from benchmarks.model_peers.call import FLOAT32, ModelCall, ModelJob, Prepare, relative_error
from benchmarks.model_peers.catalog import PEERS
from benchmarks.model_peers.reference import read_reference
from benchmarks.peers.call import UnsupportedError
from benchmarks.peers.server import serve
from benchmarks.peers.threads import place_threads
from flextune.lifetime import die_with_parent

LARGEST_ERROR = {FLOAT32: 1e-3}
"""By the precision that a peer computes in: beyond it the outputs are wrong, not rounded."""

_LARGEST_ROUNDED_ERROR = 0.3
_TRIAL_SECS = 0.3
"""How long each way is tried where a peer has several."""


class ModelServer:
    """Loads the model, then times turns of it and compares its outputs with the reference."""

    def __init__(self, peer: str, job: ModelJob) -> None:
        self._prepare_peer: Prepare = PEERS[peer].load()  # type: ignore[assignment]
        self._job = job
        self._call: ModelCall | None = None
        self._runs = self._warm_runs = 1

    def answer(self, request: str) -> dict[str, object]:
        """The reply to `prepare`, `time` or `check`."""
        if request == "prepare":
            return self._prepare()
        assert self._call is not None  # prepared before
        if request == "time":
            self._call.times(self._warm_runs)
            return {"run_secs": list(self._call.times(self._runs))}
        return {"max_error": max(self._error(self._call, seed) for seed in range(self._job.seeds))}

    def _prepare(self) -> dict[str, object]:
        job, started = self._job, time.perf_counter()
        try:
            calls = self._prepare_peer(job)
        except UnsupportedError as reason:
            return {"absent": str(reason)}
        for call in calls:
            error = self._error(call, 0)
            if not error <= LARGEST_ERROR.get(call.precision, _LARGEST_ROUNDED_ERROR):
                return {"absent": f"wrong outputs{f' ({call.variant})' if call.variant else ''}: off by {error:.2g}"}
        call = calls[0] if len(calls) == 1 else min(calls, key=self._placed_secs)
        threads = place_threads(lambda: call.times(1), job.cores)
        secs = _tried_secs(call)
        self._call = call
        self._runs = runs_of_turn(secs, job.turn_secs, job.turn_runs)
        self._warm_runs = runs_of_turn(secs, job.warm_secs, job.warm_runs)
        return {
            "variant": call.variant,
            "precision": call.precision,
            "threads": threads,
            "prepare_secs": time.perf_counter() - started,
        }

    def _placed_secs(self, call: ModelCall) -> float:
        place_threads(lambda: call.times(1), self._job.cores)
        return _tried_secs(call)

    def _error(self, call: ModelCall, seed: int) -> float:
        return relative_error(call.compute(self._job.inputs(seed)), read_reference(self._job, seed))


def runs_of_turn(secs: float, least_secs: float, least_runs: int) -> int:
    """How many runs of so many seconds fill a turn."""
    return max(least_runs, math.ceil(least_secs / max(secs, 1e-9)))


def _tried_secs(call: ModelCall) -> float:
    """Median seconds of a run over a short time."""
    times: Sequence[float] = call.times(2)[1:]
    until = time.perf_counter() + _TRIAL_SECS
    while time.perf_counter() < until or len(times) < 3:
        times = [*times, *call.times(1)]
    return statistics.median(times)


def main(arguments: list[str]) -> None:
    """Serve until the requests end; what libraries print goes to standard error."""
    peer, folder, parent_pid = arguments
    replies = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    die_with_parent(int(parent_pid))
    job = ModelJob.read(folder)
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, job.cores)
    serve(ModelServer(peer, job), replies)
    os._exit(0)


if __name__ == "__main__":
    main(sys.argv[1:])
