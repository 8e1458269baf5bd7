"""Ctrl-C that is not lost: Python drops the exception where it is raised in a destructor or in a callback from C."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Interruption:
    """Whether Ctrl-C came."""

    def __init__(self) -> None:
        self.came = False

    def check(self) -> None:
        """Raise KeyboardInterrupt if Ctrl-C came, also where the exception was lost then."""
        if self.came:
            raise KeyboardInterrupt


@contextmanager
def noticed_interruption() -> Iterator[Interruption]:
    """Remembers Ctrl-C for the block; what else happens then stays as it was. Only the main thread gets signals."""
    interruption = Interruption()
    before = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or not callable(before):
        yield interruption
        return

    def notice(number: int, frame: FrameType | None) -> None:
        interruption.came = True
        before(number, frame)

    signal.signal(signal.SIGINT, notice)
    try:
        yield interruption
    finally:
        signal.signal(signal.SIGINT, before)
