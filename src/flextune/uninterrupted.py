"""Ctrl-C that waits for what must not end in the middle, such as the end of a database's transaction."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from types import FrameType
from typing import TypeVar

Value = TypeVar("Value")


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Ctrl-C that comes during the block does what it does after it; a second one does it at once.

    Only the main thread gets signals: in others nothing changes.
    """
    before = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or not callable(before):
        yield
        return
    came: list[int] = []

    def notice(number: int, frame: FrameType | None) -> None:
        came.append(number)
        if len(came) > 1:
            before(number, frame)

    signal.signal(signal.SIGINT, notice)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
        if len(came) == 1:
            signal.raise_signal(signal.SIGINT)


@contextmanager
def entered_and_ended_whole(manager: AbstractContextManager[Value]) -> Iterator[Value]:
    """The same context manager, in the middle of whose beginning and end no Ctrl-C comes.

    SQLAlchemy's transactions end with assertions that an exception in between makes fail.
    """
    entered = ExitStack()
    try:
        with uninterrupted():
            value = entered.enter_context(manager)
        yield value
    except BaseException:
        with uninterrupted():
            if not entered.__exit__(*sys.exc_info()):
                raise
    else:
        with uninterrupted():
            entered.close()
