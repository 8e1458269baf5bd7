"""What a search minimises beside tensor programs: anything that gives a number for a configuration."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from flextune.csp.assignment import Assignment
from flextune.csp.parameters import Value
from flextune.measure.objective_protocol import ObjectiveProtocol
from flextune.measure.trial_steps import Steps
from flextune.measure.worker_process import Worker


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

    def workers(self, count: int) -> Sequence[Worker]:
        """That many processes to make trials in at the same time; none where trials are made in this one."""
        ...

    def steps(self, assignment: Assignment, values: Mapping[str, Value], within_secs: float = math.inf) -> Steps:
        """Try the configuration `values`, which `assignment` stands for, within so many seconds.

        `run_secs` of its measurement holds a number to minimise for each repeat, `metrics` all that it measured.
        """
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


def metric_fault(name: str, found: Mapping[str, Any]) -> str:
    """Why a metric is there with no number; empty if it is one."""
    if not isinstance(name, str):
        return f"expected the names of metrics to be texts, got {name!r:.120}"
    of_metric = f"{name!r}: " if name else ""
    if name not in found:
        return f"{of_metric}it is not among {', '.join(map(repr, found)) or 'what it returned'}"
    fault = number_fault(found[name])
    return f"{of_metric}{fault}" if fault else ""


def median_metrics(repeats: Sequence[Mapping[str, float]]) -> tuple[tuple[str, float], ...]:
    """Of each metric that every repeat has, its median."""
    names = [name for name in (repeats[0] if repeats else ()) if all(name in repeat for repeat in repeats)]
    return tuple((name, statistics.median(repeat[name] for repeat in repeats)) for name in names)
