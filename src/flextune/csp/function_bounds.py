"""Intervals of functions of whole numbers, from those of their operands: where these are too many to look at."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from flextune.csp.network import Interval

Bounds = Callable[[Sequence[Interval]], Interval]


def truth_bounds(_: Sequence[Interval]) -> Interval:
    """0 or 1, whatever the operands are."""
    return (0, 1)


def _floor_divided(operands: Sequence[Interval]) -> Interval:
    (low, high), (least, most) = operands
    largest = max(abs(low), abs(high))
    if least > 0 or most < 0:
        corners = [a // b for a in (low, high) for b in (least, most)]
        return min(corners), max(corners)
    return -largest - 1, largest + 1


def _remainder(operands: Sequence[Interval]) -> Interval:
    (low, high), (least, most) = operands
    if least >= 0 and low >= 0:
        return 0, max(0, min(high, most - 1))
    return min(0, least + 1), max(0, most - 1)


def _least(operands: Sequence[Interval]) -> Interval:
    return min(low for low, _ in operands), min(high for _, high in operands)


def _largest(operands: Sequence[Interval]) -> Interval:
    return max(low for low, _ in operands), max(high for _, high in operands)


def _absolute(operands: Sequence[Interval]) -> Interval:
    low, high = operands[0]
    return (0 if low <= 0 <= high else min(abs(low), abs(high))), max(abs(low), abs(high))


BOUNDS: Mapping[str, Bounds] = {
    "FloorDiv": _floor_divided,
    "Mod": _remainder,
    "min": _least,
    "max": _largest,
    "abs": _absolute,
}
"""By operator (as in `ast`) or function."""
