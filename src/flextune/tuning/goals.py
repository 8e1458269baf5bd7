"""What a search is for: one number made small or large, or several at once."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from flextune.errors import UsageError
from flextune.registry import nearest
from flextune.trial.measurement import Measurement

DIRECTIONS = ("minimize", "maximize")
Direction = str | Mapping[str, str]
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Goals:
    """Which metrics count, and which way each is to go. A single metric without a name is the objective's number.

    >>> Goals.of({"secs": "minimize", "accuracy": "maximize"}).signs
    (1, -1)
    """

    names: tuple[str, ...] = ("",)
    """Of the metrics; one empty name for an objective that gives a number alone."""
    signs: tuple[int, ...] = (1,)
    """What makes each a number to minimise."""

    @classmethod
    def of(cls, direction: Direction) -> Goals:
        """`"minimize"`, `"maximize"`, or one of the two for each metric by its name. `UsageError` for anything else."""
        named = direction if isinstance(direction, Mapping) else {"": direction}
        if not named:
            raise UsageError("direction: name at least one metric, with 'minimize' or 'maximize'")
        for name, way in named.items():
            if not isinstance(name, str) or not isinstance(way, str) or way not in DIRECTIONS:
                of_metric = f" of {name!r}" if name else ""
                raise UsageError(f"direction{of_metric}: {nearest(str(way), DIRECTIONS)}, got {way!r:.80}")
        return cls(tuple(named), tuple(1 if way == "minimize" else -1 for way in named.values()))

    def __str__(self) -> str:
        """For the identity of what is measured; empty for a number to minimise."""
        named = (f"{name}:{DIRECTIONS[sign < 0]}" for name, sign in zip(self.names, self.signs, strict=True))
        return "" if self == Goals() else ",".join(named)

    @property
    def several(self) -> bool:
        return len(self.names) > 1

    def value(self, measurement: Measurement) -> float:
        """The first goal's number as the objective gave it; the worst there is for a failure."""
        return self.signs[0] * measurement.secs

    def losses(self, measurement: Measurement) -> tuple[float, ...]:
        """Per goal a number to minimise; infinity for a failure."""
        if not measurement.ok:
            return (math.inf,) * len(self.names)
        if not self.several:
            return (measurement.secs,)
        metrics = dict(measurement.metrics)
        return tuple(sign * metrics[name] for name, sign in zip(self.names, self.signs, strict=True))


SMALLEST = Goals()
"""Of an objective that gives a number to minimise."""


def pareto_front(items: Sequence[T], losses: Sequence[tuple[float, ...]]) -> tuple[T, ...]:
    """The items that no other one beats: is at least as good in all and better in one. In their order, ties once.

    >>> pareto_front("abc", [(1, 5), (2, 2), (3, 3)])
    ('a', 'b')
    """
    finite = [(item, loss) for item, loss in zip(items, losses, strict=True) if all(map(math.isfinite, loss))]
    front: list[tuple[T, tuple[float, ...]]] = []
    for item, loss in sorted(finite, key=lambda pair: pair[1]):
        if not any(all(a <= b for a, b in zip(kept, loss, strict=True)) for _, kept in front):
            front.append((item, loss))
    chosen = {id(item) for item, _ in front}
    return tuple(item for item, _ in finite if id(item) in chosen)
