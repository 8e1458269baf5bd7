"""How a request to another process ended."""

from __future__ import annotations

import math
import signal
from dataclasses import dataclass, field
from enum import Enum

from flextune.measure.wire import Message


class Ending(Enum):
    """Why a request ended."""

    REPLY = "reply"
    DIED = "died"
    TIMEOUT = "timeout"
    MEMORY = "memory"


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a request ended: with a reply, or with the worker gone."""

    ending: Ending
    """Which of these."""
    reply: Message = field(default_factory=dict)
    """What the worker answered."""
    text: str = ""
    """Why the worker is gone."""
    log_tail: str = ""
    """The last that it wrote."""
    elapsed_secs: float = 0.0
    """From the request on."""
    cpu_secs: float = math.inf
    """Processor time that it took, where it ended by its timeout."""
    code: int | None = None
    """The exit code of a worker that died, as `subprocess` has it, where it can be known."""
    killed_from_outside: bool = False
    """Whether it did not end itself, broke no limit, and was killed as no program kills itself."""


def exit_text(code: int | None) -> str:
    """How a process ended, by the name of the signal if there was one.

    >>> exit_text(-11)
    'worker killed by SIGSEGV'
    """
    if code is None:
        return "worker closed its pipe"
    if code >= 0:
        return f"worker ended with exit code {code}"
    try:
        return f"worker killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"worker killed by signal {-code}"
