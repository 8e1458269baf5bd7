"""A Python function in a process of its own that can be killed: closures and lambdas work, nothing is pickled.

The nursery that forks the workers is itself forked once, before anything else runs: a worker that is started after a
crash then sees the same fresh state as the first one, not what the parent's libraries have become (threads do not
survive a fork). Requests and replies are lines of JSON.
"""

from __future__ import annotations

import faulthandler
import json
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any

from flextune.errors import WorkerError
from flextune.measure.ending import Ending, Outcome, exit_text
from flextune.measure.limits import die_with_parent, resident_bytes
from flextune.measure.nursery import Nursery, nurse, run_and_exit
from flextune.measure.process import write_all
from flextune.measure.watch import ProcessWatch, RunLimits, kill_group

if sys.platform != "win32":
    import resource

Request = Mapping[str, Any]
Reply = dict[str, Any]
Served = Callable[[Request], Reply]
_LINE = 1 << 16


def can_fork() -> bool:
    """Whether functions can have a process of their own here."""
    return sys.platform == "linux"


class ForkedFunction:
    """Calls `function` in a kept worker; one that dies or breaks a limit is replaced at the next call.

    `function` takes and returns what JSON can hold. Make it before other libraries start threads, and close it.
    """

    def __init__(self, function: Served, limits: RunLimits) -> None:
        self._limits = limits
        control, theirs = socket.socketpair()
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        parent = os.getpid()
        self._pid = os.fork()
        if not self._pid:
            control.close()
            run_and_exit(lambda: _nurse(theirs, function, parent))
        theirs.close()
        self._nursery = Nursery(control)
        self._worker: _Worker | None = None

    def call(self, request: Request) -> Outcome:
        """The reply, or how the worker ended."""
        worker = self._worker or self._start()
        try:
            outcome = worker.call(request)
        except BaseException:
            self._end_worker()
            raise
        if outcome.ending is Ending.REPLY:
            return outcome
        if outcome.ending is Ending.DIED:
            worker.watch.ended_within(1.0)  # it closed its pipe: now its exit code is worth waiting for
        code = self._end_worker()
        text = exit_text(code) if outcome.ending is Ending.DIED else self._limits.text(outcome.ending)
        return Outcome(outcome.ending, text=text, elapsed_secs=outcome.elapsed_secs)

    def close(self) -> None:
        """End the worker and the nursery."""
        if self._worker is not None:
            self._end_worker()
        self._nursery.end()
        os.waitpid(self._pid, 0)

    def _start(self) -> _Worker:
        requests, request_end = os.pipe()
        reply_end, replies = os.pipe()
        try:
            ticket = self._nursery.start(requests, replies)
        finally:
            os.close(requests)
            os.close(replies)
        pid = self._nursery.pid(ticket)
        if pid is None:
            for pipe in (request_end, reply_end):
                os.close(pipe)
            raise WorkerError("a process for the objective could not be started: the one that forks it is gone")
        self._worker = _Worker(ticket, pid, request_end, reply_end, self._limits)
        return self._worker

    def _end_worker(self) -> int | None:
        """Kill the worker with all it started, and return its exit code as `subprocess` would."""
        assert self._worker is not None
        worker, self._worker = self._worker, None
        kill_group(worker.pid)
        worker.close()
        return self._nursery.reap(worker.ticket)


class _Worker:
    """The parent's side of one worker."""

    def __init__(self, ticket: int, pid: int, requests: int, replies: int, limits: RunLimits) -> None:
        self.ticket = ticket
        self.pid = pid
        self.watch = ProcessWatch(pid, limits, resident_bytes(pid))
        self._requests = requests
        self._replies = replies

    def call(self, request: Request) -> Outcome:
        started = time.monotonic()
        try:
            write_all(self._requests, json.dumps(request).encode() + b"\n")
        except BrokenPipeError:
            return Outcome(Ending.DIED)
        received = b""
        while not received.endswith(b"\n"):
            ending = self.watch.wait(self._replies)
            if ending is not Ending.REPLY:
                return Outcome(ending, elapsed_secs=time.monotonic() - started)
            chunk = os.read(self._replies, _LINE)
            if not chunk:
                return Outcome(Ending.DIED, elapsed_secs=time.monotonic() - started)
            received += chunk
        return Outcome(Ending.REPLY, json.loads(received), elapsed_secs=time.monotonic() - started)

    def close(self) -> None:
        self.watch.close()
        os.close(self._requests)
        os.close(self._replies)


def _nurse(control: socket.socket, function: Served, parent: int) -> None:
    die_with_parent(parent)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's, which ends us
    nurse(control, lambda requests, replies, _note: _work(function, requests, replies))


def _work(function: Served, requests: int, replies: int) -> None:
    """The worker: answers requests until the pipe ends. Its crash is a result, not a report."""
    faulthandler.disable()
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    with os.fdopen(requests, "rb") as lines:
        for line in lines:
            reply = json.dumps(function(json.loads(line))).encode() + b"\n"
            for stream in (sys.stdout, sys.stderr):
                stream.flush()
            write_all(replies, reply)
