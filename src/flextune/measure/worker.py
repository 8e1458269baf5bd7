"""The worker process: `python -m flextune.measure.worker PARENT_PID CORES OPTIONS PLATFORM`.

Requests come in on standard input, replies go out on what was standard output; whatever libraries print goes to
standard error, so that it cannot disturb the replies.
"""

from __future__ import annotations

import gc
import os
import sys
from typing import BinaryIO

from flextune.measure.limits import die_with_parent
from flextune.torch_import import hide_torch


def main(arguments: list[str]) -> None:
    """Serve until the request pipe ends. Never returns: a process with JIT modules can crash on its way out."""
    parent_pid, cores, options, kind = arguments
    requests, replies = _take_pipes()
    die_with_parent(int(parent_pid))
    hide_torch()
    _serve(requests, replies, int(cores), options, kind)
    os._exit(0)


def _take_pipes() -> tuple[BinaryIO, BinaryIO]:
    requests, replies = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.dup2(2, 1)
    return requests, replies


def _serve(requests: BinaryIO, replies: BinaryIO, cores: int, options: str, kind: str) -> None:
    gc.disable()  # while libraries are imported, a seventh of that time
    from flextune.measure.messages import decode_line, encode_line  # after the pipes are safe from what imports print
    from flextune.measure.options import MeasureOptions
    from flextune.measure.service import Service
    from flextune.native.pool import use_own_pool
    from flextune.platforms import registry

    if kind:
        registry.get(kind)
    if "tvm" in sys.modules:
        use_own_pool(cores)
    gc.freeze()  # what libraries made at their import stays: no collection has to look at it
    gc.enable()
    service = Service(MeasureOptions.parse(options), cores)
    replies.write(encode_line(service.answer({"action": "drop"})))
    replies.flush()
    for line in requests:
        replies.write(encode_line(service.answer(decode_line(line))))
        replies.flush()


if __name__ == "__main__":
    main(sys.argv[1:])
