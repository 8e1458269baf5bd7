"""Processes that end with the one that started them, however that ends."""

from __future__ import annotations

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def die_with_parent(parent_pid: int, by: int = signal.SIGKILL) -> None:
    """Have the kernel send this process a signal when the thread that started it ends; leave when it has ended already.

    Where the kernel offers no such thing, the end of the request pipe ends an idle worker.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, by)
    if os.getppid() != parent_pid:
        os._exit(0)
