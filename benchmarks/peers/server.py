"""The process of one peer for one case: `python -m benchmarks.peers.server PEER FOLDER PARENT_PID`.

Answers requests on standard input, one JSON object a line, with one line each.
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import time
from typing import Protocol, TextIO

from benchmarks.peers.call import Call, Job, UnsupportedError
from benchmarks.peers.catalog import PEERS
from benchmarks.peers.threads import place_threads
from flextune.lifetime import die_with_parent
from flextune.measure.data import KernelData, load_data
from flextune.measure.timing import calls_per_repeat
from flextune.workload.tensor import Tolerance

_TRIAL_SECS = 0.1
"""How long each way is tried where a peer has several."""


class Server:
    """Prepares the call, then times batches of it and checks its output."""

    def __init__(self, peer: str, job: Job) -> None:
        self._peer = PEERS[peer]
        self._job = job
        self._data: KernelData | None = None
        self._call: Call | None = None
        self._number = 1
        self._warm = 1

    def answer(self, request: str) -> dict[str, object]:
        """The reply to `prepare`, `time` or `check`."""
        if request == "prepare":
            return self._prepare()
        assert self._call is not None  # prepared before
        if request == "time":
            _calls(self._call, self._warm)
            return {"secs": _calls(self._call, self._number) / self._number}
        return self._check(self._call)

    def _prepare(self) -> dict[str, object]:
        job = self._job
        self._data = load_data(job.workload, job.path)
        try:
            calls = self._peer.load()(job, self._data)
        except UnsupportedError as reason:
            return {"absent": str(reason)}
        for call in calls:
            if error := self._check(call)["error"]:
                return {"absent": f"wrong output{f' of {call.variant}' if call.variant else ''}: {error}"}
        call = calls[0] if len(calls) == 1 else min(calls, key=self._placed_secs)
        threads = place_threads(call.run, job.cores)
        secs = _tried_secs(call)
        self._call = call
        self._number = calls_per_repeat(secs, job.batch_secs)
        self._warm = calls_per_repeat(secs, job.warm_secs)
        return {"variant": call.variant, "threads": threads}

    def _placed_secs(self, call: Call) -> float:
        place_threads(call.run, self._job.cores)
        return _tried_secs(call)

    def _check(self, call: Call) -> dict[str, object]:
        """Runs once over poisoned outputs and compares every element."""
        assert self._data is not None
        workload = self._job.workload
        tolerance = workload.tolerance()
        allowed = Tolerance(tolerance.relative + call.rounding, tolerance.absolute, tolerance.whole)
        self._data.poison_outputs()
        call.run()
        got, want = call.output(), self._data.references[0]
        if got.shape != want.shape or got.dtype != want.dtype:
            return {"error": f"{got.dtype}{list(got.shape)} instead of {want.dtype}{list(want.shape)}"}
        element = workload.outputs[0].element
        got, want = element.decode(got), element.decode(want)
        excess = allowed.excess(got, want)
        error = f"an element is off by {excess:.3g} times what is allowed" if not excess <= 1 else ""
        return {"error": error, "max_error": float(abs(got.astype("float64") - want).max(initial=0.0))}


def _calls(call: Call, number: int) -> float:
    """Seconds that so many calls take."""
    run = call.run
    start = time.perf_counter()
    for _ in range(number):
        run()
    return time.perf_counter() - start


def _tried_secs(call: Call) -> float:
    """Median seconds of a call over a short time."""
    times = [_calls(call, 1)]
    until = time.perf_counter() + _TRIAL_SECS
    while time.perf_counter() < until or len(times) < 3:
        times.append(_calls(call, 1))
    return statistics.median(times)


def main(arguments: list[str]) -> None:
    """Serve until the requests end; what libraries print goes to standard error.

    Never returns: a process that holds TVM's programs can crash on its way out.
    """
    peer, folder, parent_pid = arguments
    replies = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    die_with_parent(int(parent_pid))
    job = Job.read(folder)
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, job.cores)
    serve(Server(peer, job), replies)
    os._exit(0)


class Answering(Protocol):
    """What is served: one reply to each request."""

    def answer(self, request: str) -> dict[str, object]: ...


def serve(server: Answering, replies: TextIO) -> None:
    """A reply for each line of standard input, until it ends; a failure is a reply too."""
    for line in sys.stdin:
        try:
            reply = server.answer(line.strip())
        except Exception as error:  # noqa: BLE001 a peer that fails is a line in the table, not the end of the run
            reply = {"failed": f"{type(error).__name__}: {str(error).strip().splitlines()[0] if str(error) else ''}"}
        replies.write(json.dumps(reply) + "\n")
        replies.flush()


if __name__ == "__main__":
    main(sys.argv[1:])
