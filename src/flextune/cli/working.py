"""What is said on stderr while something takes long: nothing in the first two seconds, so that quick work is quiet."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from flextune.printable import printable

QUIET_SECS = 2.0
LINE_EVERY_SECS = 10.0
_REDRAWN_EVERY_SECS = 0.5
_CLEAR_LINE = "\r\x1b[K"


class Ticker:
    """Calls a function every so often in a thread of its own, between `start` and `stop`."""

    def __init__(self, every_secs: float, call: Callable[[], None], first_secs: float | None = None) -> None:
        self._every_secs = every_secs
        self._first_secs = every_secs if first_secs is None else first_secs
        self._call = call
        self._over = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """No call is under way, nor comes, once this returns."""
        self._over.set()
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        wait = self._first_secs
        while not self._over.wait(wait):
            self._call()
            wait = self._every_secs


class Working:
    """What is being done, and for how long: redrawn on a terminal, elsewhere a line every ten seconds."""

    def __init__(self, what: str, clock: Callable[[], float] = time.perf_counter) -> None:
        self._what = printable(what)
        self._clock = clock
        self._began = clock()
        self._said = False
        self.is_terminal = sys.stderr.isatty()

    def now(self, what: str) -> None:
        """The work goes over to something else."""
        self._what = printable(what)

    def say(self) -> None:
        """Once more what is being done."""
        self._said = True
        text = f"{self._what} ... {self._clock() - self._began:.0f} s"
        if self.is_terminal:
            print(f"{_CLEAR_LINE}{text}", end="", file=sys.stderr, flush=True)
        else:
            print(text, file=sys.stderr, flush=True)

    def clear(self) -> None:
        """A terminal's line is free again."""
        if self.is_terminal and self._said:
            print(_CLEAR_LINE, end="", file=sys.stderr, flush=True)


@contextmanager
def working(what: str) -> Iterator[Working]:
    """Says `what` is being done and for how long, from the third second of the block on."""
    work = Working(what)
    ticker = Ticker(_REDRAWN_EVERY_SECS if work.is_terminal else LINE_EVERY_SECS, work.say, QUIET_SECS)
    ticker.start()
    try:
        yield work
    finally:
        ticker.stop()
        work.clear()
