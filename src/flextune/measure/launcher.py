"""Two ways to a fork server: a new interpreter that loads a service, or a copy of this process that has a function."""

from __future__ import annotations

import faulthandler
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from flextune.errors import WorkerError
from flextune.measure import services
from flextune.measure.fork_server import ForkServer, run_and_exit, serve_forks
from flextune.measure.limits import die_with_parent
from flextune.measure.serving import flush_streams, serve
from flextune.measure.watch import ProcessWatch, RunLimits
from flextune.measure.wire import Message

if sys.platform != "win32":
    import resource

SPIN_COUNT = 20_000
"""How long TVM's threads spin for the next call before they sleep (its own default is 300 000, tens of milliseconds);
short enough that a worker that is done does not disturb the next one."""
_LOG = "fork_server.log"

Function = Callable[[Message], dict[str, Any]]


class Launcher(Protocol):
    """Owns a fork server. `log` has what the server itself prints, None where that goes where this process prints."""

    log: Path | None

    def start(self, requests: int, replies: int, log: Path | None, preload: str) -> tuple[ForkServer, int]:
        """Ask for a worker that reads and writes these pipe ends.

        Returns the fork server that it is to be asked about, and its ticket there.
        """
        ...

    def exit_code(self, within_secs: float) -> int | None:
        """Of the fork server's own process, should it end within this time."""
        ...

    def close(self) -> None:
        """End the fork server, and with it all workers."""
        ...


class ServiceLauncher:
    """Starts workers of a service; the fork server starts with the first one, and anew should it have died.

    Workers run programs on `cores` physical cores. What the fork server prints goes to a file in `folder`, for when it
    does not come up.
    """

    def __init__(self, service: str, options: str, cores: int, folder: Path) -> None:
        self._arguments = (str(os.getpid()), services.path_of(service), options, str(cores))
        self._environment = _environment(cores)
        self.log: Path | None = folder / _LOG
        self._popen: subprocess.Popen[bytes] | None = None
        self._server: ForkServer | None = None

    def start(self, requests: int, replies: int, log: Path | None, preload: str) -> tuple[ForkServer, int]:
        if self._server is None or self._popen is None or self._popen.poll() is not None:
            self.close()
            self._server = self._spawn(preload)
        note = json.dumps({"log": str(log or os.devnull), "preload": preload})
        return self._server, self._server.start(requests, replies, note)

    def exit_code(self, within_secs: float) -> int | None:
        assert self._popen is not None  # it was asked for a worker
        try:
            return self._popen.wait(within_secs)
        except subprocess.TimeoutExpired:
            return None

    def close(self) -> None:
        if self._server is not None:
            self._server.end()
            self._server = None
        if self._popen is not None:
            self._popen.kill()
            self._popen.wait()
            self._popen = None

    def _spawn(self, preload: str) -> ForkServer:
        ours, theirs = socket.socketpair()
        # -P: the current folder stays off the module path, where a stray numpy.py would be found first
        command = [sys.executable, "-P", "-m", "flextune.measure.serving", *self._arguments, preload]
        assert self.log is not None  # set with this object
        try:
            with self.log.open("ab") as log, theirs:
                self._popen = subprocess.Popen(
                    [*command, str(theirs.fileno())],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    env=self._environment,
                    pass_fds=(theirs.fileno(),),
                    start_new_session=True,
                )
        except OSError as error:
            ours.close()
            raise WorkerError(f"a measuring worker could not be started: {error}") from error
        return ForkServer(ours)


class FunctionLauncher:
    """Starts workers that call `function`: closures and lambdas work, nothing is pickled.

    The fork server is forked once, at once, before anything else runs: a worker that is started after a crash then sees
    the same fresh state as the first one, not what the parent's libraries have become (threads do not survive a fork).
    """

    def __init__(self, function: Function) -> None:
        self.log: Path | None = None
        ours, theirs = socket.socketpair()
        flush_streams()
        parent = os.getpid()
        self._pid = os.fork()
        if not self._pid:
            ours.close()
            run_and_exit(lambda: _serve_forks_of(function, theirs, parent))
        theirs.close()
        self._server = ForkServer(ours)
        self._code: int | None = None
        self._ended = False

    def start(self, requests: int, replies: int, log: Path | None, preload: str) -> tuple[ForkServer, int]:
        del log, preload  # it has all it needs, and prints where its parent prints
        return self._server, self._server.start(requests, replies)

    def exit_code(self, within_secs: float) -> int | None:
        watch = ProcessWatch(self._pid, RunLimits())
        try:
            ended = self._ended or watch.ended_within(within_secs)
        finally:
            watch.close()
        return self._reaped() if ended else None

    def close(self) -> None:
        self._server.end()
        self._reaped()

    def _reaped(self) -> int | None:
        if not self._ended:
            self._code = os.waitstatus_to_exitcode(os.waitpid(self._pid, 0)[1])
            self._ended = True
        return self._code


def can_fork() -> bool:
    """Whether functions can have a process of their own here."""
    return sys.platform == "linux"


def _serve_forks_of(function: Function, control: socket.socket, parent: int) -> None:
    die_with_parent(parent)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's, which ends us
    serve_forks(control, lambda requests, replies, _note: _call_when_asked(function, requests, replies))


def _call_when_asked(function: Function, requests: int, replies: int) -> None:
    """The worker: its crash is a result, not a report."""
    faulthandler.disable()
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    serve(function, requests, replies)


def _environment(cores: int) -> dict[str, str]:
    source = str(Path(__file__).parents[2])
    inherited = os.environ.get("PYTHONPATH")
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(filter(None, (source, inherited))),
        "TVM_NUM_THREADS": str(cores),
        "TVM_BIND_THREADS": "0",
        "TVM_THREAD_POOL_SPIN_COUNT": str(SPIN_COUNT),
        "OPENBLAS_NUM_THREADS": "1",  # the only threads of a worker are those of what it measures
    }
