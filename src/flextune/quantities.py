"""What numbers count and how they were found; times, rates and counts in readable units."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum


class Unit(StrEnum):
    """What a cost counts. Costs of different units are never ranked together."""

    SECONDS = "seconds"
    CYCLES = "cycles"
    INSTRUCTIONS = "instructions"
    JOULES = "joules"


class CostOrigin(StrEnum):
    """How a cost was found. Costs of different origins are never ranked together."""

    MEASURED = "measured"
    SIMULATED = "simulated"
    MODELLED = "modelled"


@dataclass(frozen=True, slots=True)
class Scale:
    """What numbers count and how they were found: only those of one scale are compared, or learned from together.

    >>> str(Scale(Unit.INSTRUCTIONS, CostOrigin.SIMULATED))
    'instructions, simulated'
    """

    unit: Unit = Unit.SECONDS
    """What is counted."""
    origin: CostOrigin = CostOrigin.MEASURED
    """How it was found."""

    def __str__(self) -> str:
        return f"{self.unit}, {self.origin}"

    @property
    def is_time(self) -> bool:
        """Whether it is seconds on the device itself."""
        return self == MEASURED_SECONDS


MEASURED_SECONDS = Scale()


def amount(value: float, scale: Scale = MEASURED_SECONDS) -> str:
    """`1.234 ms` of measured seconds; of others also what they are: `870123 instructions, simulated`."""
    if scale.unit is Unit.SECONDS:
        return seconds(value) if scale.is_time else f"{seconds(value)}, {scale.origin}"
    if not math.isfinite(value):
        return "-"
    return f"{value:.0f} {scale}" if value >= 1 or not value else f"{value:.4g} {scale}"


JOULES_PER_CALL = "joules per call"
"""The name of this figure among those that are measured beside the time."""


def joules(value: float) -> str:
    """`1.234 mJ`."""
    for unit, scale in (("J", 1.0), ("mJ", 1e-3), ("µJ", 1e-6)):
        if value >= scale:
            return f"{value / scale:.4g} {unit}"
    return f"{value * 1e9:.3g} nJ"


def figure(name: str, value: float) -> str:
    """What was measured beside the time, or what a cost is made of: `1.234 mJ per call`, `4096 vector`."""
    return f"{joules(value)} per call" if name == JOULES_PER_CALL else f"{value:.0f} {name}"


def seconds(value: float) -> str:
    """`1.234 ms`, `56.7 µs`, `2.50 s`; `-` for what was never measured."""
    if not math.isfinite(value):
        return "-"
    for unit, scale in (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6)):
        if value >= scale:
            return f"{value / scale:.4g} {unit}"
    return f"{value * 1e9:.3g} ns"


def rate(value: float, unit: str = "FLOP/s") -> str:
    """`512.3 GFLOP/s`."""
    for prefix, scale in (("T", 1e12), ("G", 1e9), ("M", 1e6)):
        if value >= scale:
            return f"{value / scale:.4g} {prefix}{unit}"
    return f"{value:.4g} {unit}"
