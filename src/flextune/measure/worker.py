"""A nursery and its workers: `python -m flextune.measure.worker PARENT_PID CORES OPTIONS PLATFORM SOCKET`.

The nursery loads the platform and forks workers as it is told over the socket. A worker gets requests from one pipe and
replies over another; whatever libraries print goes to its log, so that it cannot disturb the replies.
"""

from __future__ import annotations

import gc
import json
import os
import socket
import sys
from collections.abc import Callable

from flextune.measure.limits import die_with_parent
from flextune.measure.nursery import nurse
from flextune.torch_import import hide_torch


def main(arguments: list[str]) -> None:
    """Fork workers until the socket ends. Never returns: a process with JIT modules can crash on its way out."""
    parent_pid, cores, options, kind, control = arguments
    die_with_parent(int(parent_pid))
    hide_torch()
    gc.disable()  # while libraries are imported, a seventh of that time
    from flextune.platforms import registry

    if kind:
        registry.get(kind)
    import flextune.measure.service  # noqa: F401 - for the workers to have it

    gc.freeze()  # what libraries made at their import stays: no collection has to look at it, no worker to copy it
    gc.enable()
    nurse(socket.socket(fileno=int(control)), _worker(int(cores), options))
    os._exit(0)


def _worker(cores: int, options: str) -> Callable[[int, int, str], None]:
    """A worker's life."""

    def work(requests: int, replies: int, note: str) -> None:
        log, kind = map(json.loads(note).get, ("log", "kind"))
        printed = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        for stream in (1, 2):
            os.dup2(printed, stream)
        os.close(printed)
        _serve(requests, replies, cores, options, kind)

    return work


def _serve(requests: int, replies: int, cores: int, options: str, kind: str) -> None:
    from flextune.measure.messages import decode_line, encode_line
    from flextune.measure.options import MeasureOptions
    from flextune.measure.service import Service
    from flextune.native.pool import use_own_pool
    from flextune.platforms import registry

    if kind:
        registry.get(kind)
    service = Service(MeasureOptions.parse(options), cores)  # first: it gives the threads places that are not there yet
    if "tvm" in sys.modules:
        use_own_pool(cores)
    with os.fdopen(requests, "rb") as received, os.fdopen(replies, "wb") as sent:
        sent.write(encode_line(service.answer({"action": "drop", "keep": ()})))
        sent.flush()
        for line in received:
            sent.write(encode_line(service.answer(decode_line(line))))
            sent.flush()


if __name__ == "__main__":
    main(sys.argv[1:])
