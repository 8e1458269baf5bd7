"""What a search minimises beside tensor programs: anything that gives a number for a configuration."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Protocol

from flextune.csp.assignment import Assignment
from flextune.csp.parameters import Value
from flextune.measure.objective_protocol import ObjectiveProtocol
from flextune.trial.measurement import Measurement


class Objective(Protocol):
    """Tries configurations. Whatever goes wrong with one is its measurement; an exception is a broken environment.

    `name` is for people, `identity` is a text that says what is measured: equal texts, comparable numbers. `unknown`
    says why there is no such text, where what decides the value cannot be told: then nothing recorded is comparable.
    """

    @property
    def name(self) -> str: ...

    @property
    def identity(self) -> str: ...

    @property
    def unknown(self) -> str: ...

    @property
    def protocol(self) -> ObjectiveProtocol:
        """How it is measured, for the records."""
        ...

    def measure(self, assignment: Assignment, values: Mapping[str, Value]) -> Measurement:
        """Try the configuration `values`, which `assignment` stands for; `run_secs` holds the number of each repeat."""
        ...

    def close(self) -> None:
        """End what it has started."""
        ...


def identity_text(what: str, version: str, check: str) -> str:
    """What is measured, with the version that the user gives it and the digest of the check that judges it."""
    return what + (f"\nversion:{version}" if version else "") + (f"\ncheck:{check}" if check else "")


def number_fault(value: Any) -> str:
    """Why this is not a number to minimise; empty if it is one."""
    try:
        if isinstance(value, bool | str | bytes):
            raise TypeError
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return f"expected a number, got {value!r:.120}"
    return "" if math.isfinite(number) else f"expected a finite number, got {number}"
