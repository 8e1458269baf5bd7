"""What a process does once: registrations with libraries that refuse a second one."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import wraps


def once(function: Callable[[], None]) -> Callable[[], None]:
    """The function, whose first call does its work; calls from other threads wait until that is done.

    `functools.cache` would let two threads do it at the same time. A call that raises leaves it to be done.
    """
    lock = threading.RLock()
    done = False

    @wraps(function)
    def first() -> None:
        nonlocal done
        if done:
            return
        with lock:
            if not done:
                function()
                done = True

    return first
