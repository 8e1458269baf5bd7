"""The worker's side: `python -m flextune.measure.serving PARENT_PID SOCKET MODULE...`.

That is a fork server, which imports the modules and forks as it is told over the socket: a worker, or another fork
server, which has loaded a service and what that preloads. A worker gets requests from one pipe and replies over
another; whatever libraries print goes to its log, so that it cannot disturb the replies.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import socket
import sys
from collections.abc import Callable, Iterator
from importlib import import_module

from flextune.measure.fork_server import end_with_parent, serve_forks
from flextune.measure.process_limits import resident_bytes
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
    """Fork until the socket ends. Never returns: a process with JIT modules can crash on its way out."""
    parent_pid, control, *libraries = arguments
    end_with_parent(int(parent_pid))
    hide_torch()
    with _imports():
        for library in libraries:
            import_module(library)
    serve_forks(socket.socket(fileno=int(control)), _work)
    os._exit(0)


def _work(requests: int, replies: int, note: str) -> None:
    """The life of what was forked: that of a worker if the note says how, else of a fork server on a socket."""
    wanted = json.loads(note)
    worker = wanted.get("worker")
    if worker is not None:
        _print_to(worker["log"])
    with _imports() if worker is None else contextlib.nullcontext():
        module, _, name = wanted["service"].partition(":")
        factory: ServiceFactory = getattr(import_module(module), name)
        factory.preload(wanted["preload"])
    if worker is not None:
        serve(factory(worker["options"], worker["cores"]).answer, requests, replies)
    else:
        os.close(replies)
        end_with_parent(os.getppid())
        serve_forks(socket.socket(fileno=requests), _work)


@contextlib.contextmanager
def _imports() -> Iterator[None]:
    """Inside, no garbage is collected, a seventh of the time of importing.

    What libraries made then stays for ever: no collection has to look at it, and no worker copies it.
    """
    gc.disable()
    yield
    gc.freeze()
    gc.enable()


def _print_to(log: str) -> None:
    printed = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    for stream in (1, 2):
        os.dup2(printed, stream)
    os.close(printed)


if __name__ == "__main__":
    main(sys.argv[1:])
