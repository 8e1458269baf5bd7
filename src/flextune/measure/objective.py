"""What a search minimises beside tensor programs: anything that gives a number for a configuration."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Protocol

from flextune.csp.assignment import Assignment
from flextune.csp.parameters import Value
from flextune.trial.measurement import Measurement


class Objective(Protocol):
    """Tries configurations. Whatever goes wrong with one is its measurement; an exception is a broken environment.

    `name` is for people, `identity` is a text that says what is measured: equal texts, comparable numbers.
    """

    @property
    def name(self) -> str: ...

    @property
    def identity(self) -> str: ...

    @property
    def protocol(self) -> str:
        """How it is measured, for the records."""
        ...

    def measure(self, assignment: Assignment, values: Mapping[str, Value]) -> Measurement:
        """Try the configuration `values`, which `assignment` stands for; `run_secs` holds the number of each repeat."""
        ...

    def close(self) -> None:
        """End what it has started."""
        ...


def number_fault(value: Any) -> str:
    """Why this is not a number to minimise; empty if it is one."""
    try:
        if isinstance(value, bool | str | bytes):
            raise TypeError
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return f"expected a number, got {value!r:.120}"
    return "" if math.isfinite(number) else f"expected a finite number, got {number}"
