"""Which schedules a group with sizes of a range is compiled with, and which of them a size gets."""

from __future__ import annotations

import itertools
import math
import statistics
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from flextune.errors import UsageError
from flextune.trial.decision import Decision, Option
from flextune.trial.variant import Variant
from flextune.workload.dim_expr import DimExpr

Point = tuple[int, ...]
"""A size of each symbol, in their order."""

_SWEPT = 4096
_EDGES_SHOWN = 12


@dataclass(frozen=True, slots=True)
class VariantTimes:
    """A schedule, and what is known of its time."""

    variant: Variant
    """The schedule."""
    cost: DimExpr | None
    """What a call takes at any sizes, in femtoseconds, by the model of tiles; None where it does not run."""
    secs: tuple[tuple[Point, float], ...]
    """Measured: sizes, and the seconds there."""
    error: str = ""
    """Why it does not run."""


@dataclass(frozen=True, slots=True)
class Verified:
    """Seconds at sizes that nothing was chosen by, also of the best schedule that was made for them alone."""

    point: Point
    chosen_secs: float
    static_secs: float
    default_secs: float

    @property
    def regret(self) -> float:
        """How much longer the first takes, as a factor."""
        return self.chosen_secs / self.static_secs


@dataclass(frozen=True, slots=True, kw_only=True)
class VariantsDecision(Decision):
    """The schedules of equal groups with symbolic sizes. `key` is that of the group (`tuning/variants/group_key.py`).

    Of the `candidates`, the first of which is the default, the `chosen` ones are compiled, by their numbers. A size
    gets the first of these whose cost is the least. Costs are over `symbols`, which had sizes of these `ranges`.
    """

    KIND: ClassVar[str] = "variants"

    name: str
    """What the group computes."""
    symbols: tuple[str, ...]
    """Its sizes, by name."""
    meanings: tuple[str, ...]
    """What each of them is in the model, such as batch*seq."""
    ranges: tuple[tuple[int, int], ...]
    """The smallest and the largest size of each that was measured for."""
    loss: float
    """What the chosen schedules may lose on the best one at any size that was measured, as a share."""
    candidates: tuple[VariantTimes, ...]
    """All schedules that were measured, the default first."""
    chosen: tuple[int, ...]
    """Numbers of those that are compiled."""
    verified: tuple[Verified, ...] = ()
    """What came of it at other sizes."""

    def __post_init__(self) -> None:
        known = len(self.symbols) == len(self.meanings) == len(self.ranges)
        sound = [number for number, each in enumerate(self.candidates) if each.cost is not None]
        if not known or not self.chosen or not set(self.chosen) <= set(sound):
            raise UsageError(f"decision on group {self.key}: its schedules or its symbols are not complete")

    def covers(self, ranges: Mapping[str, tuple[int, int]]) -> bool:
        """Whether it was measured for all sizes of these ranges."""
        own = dict(zip(self.symbols, self.ranges, strict=True))
        return own.keys() == ranges.keys() and all(
            own[name][0] <= low and high <= own[name][1] for name, (low, high) in ranges.items()
        )

    def renamed(self, names: tuple[str, ...]) -> VariantsDecision | None:
        """The same for an equal group whose symbols have these names, in this order; None where it has others."""
        if len(names) != len(self.symbols):
            return None
        new = dict(zip(self.symbols, names, strict=True))
        candidates = tuple(
            replace(
                each,
                variant=replace(
                    each.variant, made_at=tuple((new.get(name, name), size) for name, size in each.variant.made_at)
                ),
                cost=None if each.cost is None else each.cost.substitute(new),
            )
            for each in self.candidates
        )
        return replace(self, symbols=names, candidates=candidates)

    @property
    def kernels(self) -> tuple[tuple[Variant, DimExpr], ...]:
        """The chosen schedules with their costs."""
        found = ((self.candidates[number].variant, self.candidates[number].cost) for number in self.chosen)
        return tuple((variant, cost) for variant, cost in found if cost is not None)

    def at(self, point: Sequence[int]) -> int:
        """The number of the candidate that these sizes get."""
        sizes = dict(zip(self.symbols, point, strict=True))
        costs = [cost.bind(sizes) for _, cost in self.kernels]
        return self.chosen[costs.index(min(costs))]

    @property
    def regret(self) -> float | None:
        """The geometric mean of the factors at sizes that nothing was chosen by; None where there are none."""
        if not self.verified:
            return None
        return math.exp(statistics.fmean(math.log(each.regret) for each in self.verified))

    @property
    def subject(self) -> str:
        return f"{self.name} over {', '.join(self._sizes())}"

    @property
    def answer(self) -> str:
        return f"schedule {', '.join(map(str, self.chosen))}"

    @property
    def options(self) -> tuple[Option, ...]:
        """With geometric means over the sizes that all of them were measured at: those at others do not compare."""
        timed = {number: dict(each.secs) for number, each in enumerate(self.candidates) if each.secs}
        common = set.intersection(*map(set, timed.values())) if timed else set()
        return tuple(
            Option(
                f"schedule {number}",
                None,
                statistics.geometric_mean(secs[point] for point in common) if common else None,
            )
            for number, secs in timed.items()
        )

    @property
    def details(self) -> tuple[str, ...]:
        shown = [self._described(number) for number in self.chosen]
        choice = [f"choice: {each}" for each in self._choice()]
        checked = [
            f"at {self._text(each.point)}: {1e6 * each.chosen_secs:.1f} us, by default {1e6 * each.default_secs:.1f}, "
            f"made for it alone {1e6 * each.static_secs:.1f} us ({each.regret:.3f}x)"
            for each in self.verified
        ]
        mean = [] if self.regret is None else [f"regret: {self.regret:.3f}x on average at these sizes"]
        return (self._trigger(), *self._measured(), *shown, *choice, *checked, *self._gain(), *mean)

    def _sizes(self) -> Iterator[str]:
        for name, meaning, (low, high) in zip(self.symbols, self.meanings, self.ranges, strict=True):
            yield f"{name}={low}..{high}" + ("" if meaning == name else f" (that is {meaning})")

    def _trigger(self) -> str:
        return f"trigger: {', '.join(self.symbols)} {'is' if len(self.symbols) == 1 else 'are'} known only in a run"

    def _measured(self) -> Iterator[str]:
        """How many schedules were measured how often, and why others were not."""
        times = sum(len(each.secs) for each in self.candidates)
        ran = sum(bool(each.secs) for each in self.candidates)
        yield f"candidates: {len(self.candidates)} schedules, {ran} of them measured, {times} times in all"
        failed = Counter(each.error for each in self.candidates if each.error)
        yield from (f"failed: {count} of them: {error}" for error, count in failed.most_common())

    def _gain(self) -> Iterator[str]:
        if self.verified:
            gains = [each.default_secs / each.chosen_secs for each in self.verified]
            yield f"before/after: {statistics.geometric_mean(gains):.3f}x the speed by default at these sizes"

    def _described(self, number: int) -> str:
        variant = self.candidates[number].variant
        values = " ".join(f"{name}={value}" for name, value in variant.assignment)
        return f"schedule {number}: {values}, made at {self._text([size for _, size in variant.made_at])}"

    def _text(self, point: Sequence[int]) -> str:
        return " ".join(f"{name}={size}" for name, size in zip(self.symbols, point, strict=True))

    def _choice(self) -> Iterator[str]:
        """Of one symbol, from which size on which schedule is taken; of several, those at the measured sizes."""
        if len(self.symbols) > 1:
            points = sorted({point for each in self.candidates for point, _ in each.secs})
            yield from (f"{self._text(point)}: schedule {self.at(point)}" for point in points[:_EDGES_SHOWN])
            return
        low, high = self.ranges[0]
        swept = range(low, high + 1, max(1, (high - low) // _SWEPT))
        runs = [(number, next(sizes)) for number, sizes in itertools.groupby(swept, lambda size: self.at((size,)))]
        shown = [f"{self.symbols[0]} from {first}: schedule {number}" for number, first in runs]
        yield from shown[:_EDGES_SHOWN]
        if len(shown) > _EDGES_SHOWN:
            yield f"and {len(shown) - _EDGES_SHOWN} more edges"

    def _own_values(self) -> dict[str, object]:
        candidates = [
            {
                "schedule": each.variant.to_json(),
                "cost": None if each.cost is None else str(each.cost),
                "secs": [[list(point), secs] for point, secs in each.secs],
                "error": each.error,
            }
            for each in self.candidates
        ]
        verified = [[list(each.point), each.chosen_secs, each.static_secs, each.default_secs] for each in self.verified]
        plain = {name: getattr(self, name) for name in ("name", "loss")}
        listed = {name: list(getattr(self, name)) for name in ("symbols", "meanings", "ranges", "chosen")}
        return {**plain, **listed, "candidates": candidates, "verified": verified}

    @classmethod
    def _of_values(cls, values: Mapping[str, Any], common: Mapping[str, str]) -> VariantsDecision:
        return cls(
            **common,
            name=str(values["name"]),
            loss=float(values["loss"]),
            symbols=tuple(map(str, values["symbols"])),
            meanings=tuple(map(str, values["meanings"])),
            ranges=tuple((int(low), int(high)) for low, high in values["ranges"]),
            chosen=tuple(map(int, values["chosen"])),
            candidates=tuple(map(_candidate, values["candidates"])),
            verified=tuple(
                Verified(_point(point), *(_positive(each) for each in times)) for point, *times in values["verified"]
            ),
        )


def _candidate(values: Mapping[str, Any]) -> VariantTimes:
    cost = None if values["cost"] is None else DimExpr.parse(str(values["cost"]))
    secs = tuple((_point(point), _positive(each)) for point, each in values["secs"])
    return VariantTimes(Variant.from_json(str(values["schedule"])), cost, secs, str(values["error"]))


def _point(sizes: Sequence[Any]) -> Point:
    return tuple(map(int, sizes))


def _positive(value: object) -> float:
    secs = float(str(value))
    if not math.isfinite(secs) or secs <= 0:
        raise ValueError(f"seconds expected, got {value}")
    return secs
