"""A fork server: a process that forks others on request, so that they start in milliseconds from the same fresh state.

Whoever needs workers holds one end of a socket, the fork server the other. Requests and replies are lines:

    start NOTE   with a pipe to read requests from and one to write replies to   ->  process number
    reap PID     when that process has ended or was killed                       ->  exit code, as `subprocess` has it
    end                                                                          ->  the server ends

A worker that is started after a crash sees what the first one saw, and nothing that the server's parent did later.
What a worker leaves running, in whatever session, is killed when the worker is reaped, and all of it when the server
ends, which it does with its parent, however that ends.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import sys
import threading
from collections.abc import Callable
from types import FrameType
from typing import NoReturn

from flextune.lifetime import die_with_parent
from flextune.measure.process_limits import adopt_orphans, end_children

Work = Callable[[int, int, str], None]
"""`work(requests, replies, note)` is a worker's life: descriptors of its two pipes, and the note of its start."""

_PATIENCE_SECS = 120.0
_LINE = 1 << 16
_MOST_DESCRIPTORS = 64


class ForkServer:
    """The side of the one who needs workers; it owns the socket. Several threads may ask: replies have an order."""

    def __init__(self, control: socket.socket) -> None:
        self._control = control
        self._control.settimeout(_PATIENCE_SECS)
        self._received = b""
        self._pids: list[int] = []
        self._started = 0
        self._lock = threading.RLock()

    @property
    def alive(self) -> bool:
        """Whether the server has not ended, as far as is known."""
        ended = select.poll()
        ended.register(self._control, 0)
        return not ended.poll(0)

    def start(self, requests: int, replies: int, note: str = "") -> int:
        """Ask for a worker with these pipe ends; returns its ticket, which gets no process if the server is gone."""
        with self._lock:
            with contextlib.suppress(OSError):
                socket.send_fds(self._control, [f"start {note}\n".encode()], [requests, replies])
            self._started += 1
            return self._started - 1

    def pid(self, ticket: int) -> int | None:
        """The process number of a worker, after waiting until it is there; None when the server is gone or hangs."""
        with self._lock:
            with contextlib.suppress(OSError, ValueError):
                while len(self._pids) <= ticket:
                    self._pids.append(self._number())
            return self._pids[ticket] if ticket < len(self._pids) else None

    def reap(self, ticket: int) -> int | None:
        """The exit code of a worker that has ended or was killed; None when the fork server died before."""
        with self._lock:
            if self.pid(self._started - 1) is None:  # replies come in the order of requests
                return None
            with contextlib.suppress(OSError, ValueError):
                self._control.sendall(f"reap {self._pids[ticket]}\n".encode())
                return self._number()
            return None

    def end(self) -> None:
        """Let the fork server end; its workers end with it."""
        with contextlib.suppress(OSError):
            self._control.sendall(b"end\n")
        self._control.close()

    def _number(self) -> int:
        while b"\n" not in self._received:
            chunk = self._control.recv(_LINE)
            if not chunk:
                raise ValueError("the fork server is gone")
            self._received += chunk
        line, _, self._received = self._received.partition(b"\n")
        return int(line)


def serve_forks(control: socket.socket, work: Work) -> None:
    """The fork server's own life: forks and reaps as told, until told to end or left alone."""
    adopt_orphans()
    try:
        _serve_orders(control, work)
    finally:
        end_children()


def end_with_parent(parent: int) -> None:
    """Have a fork server end when its parent does, with all below it. In its main thread."""
    signal.signal(signal.SIGTERM, _end_now)
    die_with_parent(parent, signal.SIGTERM)


def _end_now(_number: int, _frame: FrameType | None) -> NoReturn:
    end_children()
    os._exit(0)


def _serve_orders(control: socket.socket, work: Work) -> None:
    received, descriptors, workers = b"", list[int](), set[int]()
    while True:
        message, sent, _, _ = socket.recv_fds(control, _LINE, _MOST_DESCRIPTORS)
        if not message:
            return
        descriptors += sent
        *lines, received = (received + message).split(b"\n")
        for line in lines:
            order, _, rest = line.decode().partition(" ")
            if order == "end":
                return
            if order == "start":
                number = _fork_worker(control, work, descriptors.pop(0), descriptors.pop(0), rest)
                workers.add(number)
            else:
                number = os.waitstatus_to_exitcode(os.waitpid(int(rest), 0)[1])
                workers.discard(int(rest))
                end_children(kept=workers)
            control.sendall(f"{number}\n".encode())


def _fork_worker(control: socket.socket, work: Work, requests: int, replies: int, note: str) -> int:
    """The worker leads a session of its own, dies with the fork server, and does not pass its pipes on."""
    server = os.getpid()
    pid = os.fork()
    if not pid:
        control.close()
        os.setsid()
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        die_with_parent(server)
        for pipe in (requests, replies):
            os.set_inheritable(pipe, False)
        run_and_exit(lambda: work(requests, replies, note))
    os.close(requests)
    os.close(replies)
    return pid


def run_and_exit(main: Callable[[], None]) -> NoReturn:
    """The end of a forked process: what the parent left half done (buffers, exit handlers) stays the parent's."""
    code = 1
    try:
        main()
        code = 0
    except BaseException:  # noqa: BLE001 - there is nobody above who could report it
        sys.excepthook(*sys.exc_info())
    finally:
        os._exit(code)
