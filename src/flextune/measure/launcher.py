"""Two ways to a worker: in a new interpreter that loads a service, or in a copy of this process that has a function."""

from __future__ import annotations

import contextlib
import faulthandler
import gc
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

from flextune.errors import WorkerError
from flextune.measure import services
from flextune.measure.fork_server import ForkServer, Work, end_with_parent, run_and_exit, serve_forks
from flextune.measure.serving import flush_streams, serve
from flextune.measure.watch import ProcessWatch, RunLimits
from flextune.measure.wire import Message

if sys.platform != "win32":
    import resource

SPIN_COUNT = 20_000
"""How long TVM's threads spin for the next call before they sleep (its own default is 300 000, tens of milliseconds);
short enough that a worker that is done does not disturb the next one."""
_LOG = "fork_server.log"
_ENDS_WITHIN_SECS = 10.0

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


class Interpreter:
    """A fork server in a new interpreter that has the modules `libraries` and no service; ends with `close`.

    It starts with the first process that is asked for, and anew should it have died. It forks workers itself, or other
    fork servers that load more. Programs run on `cores` physical cores. What it prints goes to a file in `folder`, for
    when it does not come up; temporary files of all its processes are there too.
    """

    def __init__(self, cores: int, folder: Path, libraries: Sequence[str] = ()) -> None:
        self.cores = cores
        self.libraries = tuple(libraries)
        self.log = folder / _LOG
        self._environment = {**_environment(cores), "TMPDIR": str(folder)}  # what a killed worker leaves goes with it
        self._popen: subprocess.Popen[bytes] | None = None
        self._server: ForkServer | None = None
        self._loaded: dict[str, ForkServer] = {}
        self._lock = threading.Lock()

    def server(self) -> ForkServer:
        """The fork server that has the libraries alone."""
        if self._server is None or self._popen is None or self._popen.poll() is not None:
            self.close()
            self._server = self._spawn()
        return self._server

    def loaded_server(self, note: str) -> ForkServer:
        """A fork server that has also loaded what the note says; it is forked when it is first asked for."""
        with self._lock:  # workers are started from several threads, and one server is enough for them
            server = self.server()
            if note not in self._loaded or not self._loaded[note].alive:
                ours, theirs = socket.socketpair()
                with theirs:
                    server.start(theirs.fileno(), theirs.fileno(), note)
                self._loaded[note] = ForkServer(ours)
            return self._loaded[note]

    def exit_code(self, within_secs: float) -> int | None:
        """Of its process, should it end within this time."""
        assert self._popen is not None  # it was asked for a worker
        try:
            return self._popen.wait(within_secs)
        except subprocess.TimeoutExpired:
            return None

    def close(self) -> None:
        """End it, and with it all it has forked."""
        for server in filter(None, (*self._loaded.values(), self._server)):
            server.end()
        self._loaded, self._server = {}, None
        if self._popen is not None:
            self._popen.terminate()  # it kills what it has forked, and what that has started
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._popen.wait(_ENDS_WITHIN_SECS)
            self._popen.kill()
            self._popen.wait()
            self._popen = None

    def _spawn(self) -> ForkServer:
        ours, theirs = socket.socketpair()
        # -P: the current folder stays off the module path, where a stray numpy.py would be found first
        command = [sys.executable, "-P", "-m", "flextune.measure.serving", str(os.getpid()), str(theirs.fileno())]
        try:
            with self.log.open("ab") as log, theirs:
                self._popen = subprocess.Popen(
                    [*command, *self.libraries],
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


class ServiceLauncher:
    """Starts workers of a service in an interpreter's processes.

    A worker that preloads something is forked by a server that has it: of a library's second load only the time to
    fork is left. One that preloads nothing is in a process that has nothing but the interpreter's libraries.
    """

    def __init__(self, service: str, options: str, interpreter: Interpreter) -> None:
        self._path = services.path_of(service)
        self._options = options
        self._interpreter = interpreter
        self.log: Path | None = interpreter.log

    def start(self, requests: int, replies: int, log: Path | None, preload: str) -> tuple[ForkServer, int]:
        loads = {"service": self._path, "preload": preload}
        of_worker = {"options": self._options, "cores": self._interpreter.cores, "log": str(log or os.devnull)}
        server = self._interpreter.loaded_server(json.dumps(loads)) if preload else self._interpreter.server()
        return server, server.start(requests, replies, json.dumps({**loads, "worker": of_worker}))

    def exit_code(self, within_secs: float) -> int | None:
        return self._interpreter.exit_code(within_secs)

    def close(self) -> None:
        """The interpreter belongs to whoever made it, and ends with that."""


class FunctionLauncher:
    """Starts workers that call `function`: closures and lambdas work, nothing is pickled.

    The fork server is forked at once, before anything else runs, and again should it be killed: a worker that starts
    after a crash sees the same fresh state as the first one, not what the parent's libraries have become.
    """

    def __init__(self, function: Function) -> None:
        self.log: Path | None = None
        self._function = function
        self._launch()

    def _launch(self) -> None:
        ours, theirs = socket.socketpair()
        flush_streams()
        parent = os.getpid()
        self._pid = os.fork()
        if not self._pid:
            ours.close()
            run_and_exit(lambda: _serve_forks_of(self._function, theirs, parent))
        theirs.close()
        self._server = ForkServer(ours)
        self._code: int | None = None
        self._ended = False

    def start(self, requests: int, replies: int, log: Path | None, preload: str) -> tuple[ForkServer, int]:
        del log, preload  # it has all it needs, and prints where its parent prints
        if not self._server.alive:
            self.close()
            self._launch()
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
    """Workers are forked by a thread that the parent did not have.

    OpenMP and TVM keep a pool of threads for each thread that has used them. A worker that came from the parent's own
    thread would wait for those, which are not there, for ever; one that comes from a new thread starts its own.
    """
    os.setsid()  # what ends the parent's whole group leaves this one, which then ends what workers have started
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's, which ends us
    end_with_parent(parent)
    gc.freeze()  # garbage of the parent's that a worker collected would hide as much of what the function takes
    work: Work = lambda requests, replies, _note: _call_when_asked(function, requests, replies)  # noqa: E731
    serving = threading.Thread(target=serve_forks, args=(control, work))
    serving.start()
    serving.join()


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
