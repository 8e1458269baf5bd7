"""The worker's side: `python -m flextune.measure.serving PARENT_PID SERVICE OPTIONS CORES PRELOAD SOCKET`.

That is a fork server: it loads the service once and forks workers as it is told over the socket. A worker gets requests
from one pipe and replies over another; whatever libraries print goes to its log, so that it cannot disturb the replies.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import socket
import sys
from collections.abc import Callable
from importlib import import_module

from flextune.measure.fork_server import Work, serve_forks
from flextune.measure.limits import die_with_parent, resident_bytes
from flextune.measure.services import ServiceFactory
from flextune.measure.wire import READY, Envelope, Message, write_all
from flextune.torch_import import hide_torch

Answer = Callable[[Message], Message]


def serve(answer: Answer, requests: int, replies: int) -> None:
    """Answer one request after the other until the pipe ends.

    What is called may fork: its child comes back here too, sooner or later, and ends without a word.
    """
    worker = os.getpid()
    write_all(replies, Envelope(READY, {}, resident_bytes()).line())
    with os.fdopen(requests, "rb") as lines:
        for line in lines:
            request = Envelope.parse(line)
            reply = answer(request.message)
            if os.getpid() != worker:
                os._exit(0)
            flush_streams()
            write_all(replies, Envelope(request.number, reply, resident_bytes()).line())


def flush_streams() -> None:
    """What was printed is out; whoever has closed these streams has nothing there."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError, AttributeError):
            stream.flush()


def main(arguments: list[str]) -> None:
    """Fork workers until the socket ends. Never returns: a process with JIT modules can crash on its way out."""
    parent_pid, path, options, cores, preload, control = arguments
    die_with_parent(int(parent_pid))
    hide_torch()
    gc.disable()  # while libraries are imported, a seventh of that time
    module, _, name = path.partition(":")
    factory: ServiceFactory = getattr(import_module(module), name)
    factory.preload(preload)
    gc.freeze()  # what libraries made at their import stays: no collection has to look at it, no worker to copy it
    gc.enable()
    serve_forks(socket.socket(fileno=int(control)), _work(factory, options, int(cores)))
    os._exit(0)


def _work(factory: ServiceFactory, options: str, cores: int) -> Work:
    """A worker's life."""

    def work(requests: int, replies: int, note: str) -> None:
        log, preload = map(json.loads(note).get, ("log", "preload"))
        printed = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        for stream in (1, 2):
            os.dup2(printed, stream)
        os.close(printed)
        factory.preload(preload)
        serve(factory(options, cores).answer, requests, replies)

    return work


if __name__ == "__main__":
    main(sys.argv[1:])
