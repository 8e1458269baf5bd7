"""Ends a run whose tuner asks for nothing any more: some loop for ever once they have seen most of a space."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from benchmarks.leaderboard.ledger import Finished, Ledger

PATIENCE_SECS = 120.0


@contextmanager
def ends_when_stuck(ledger: Ledger, patience_secs: float = PATIENCE_SECS) -> Iterator[None]:
    """Raises `Finished` in the block after so long without a request; in the main thread of a process on POSIX only."""
    if not hasattr(signal, "setitimer") or threading.current_thread() is not threading.main_thread():
        yield
        return
    before = -1

    def look(number: int, frame: FrameType | None) -> None:
        del number, frame
        nonlocal before
        if ledger.requests == before:
            raise Finished
        before = ledger.requests

    handler = signal.signal(signal.SIGALRM, look)
    signal.setitimer(signal.ITIMER_REAL, patience_secs, patience_secs)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, handler)
