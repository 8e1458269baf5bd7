"""Times and rates in readable units."""

from __future__ import annotations

import math


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
