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


Span = Callable[[int, Sequence[Interval]], Interval | None]


def _divisor_span(position: int, operands: Sequence[Interval]) -> Interval | None:
    """What is divided is below every larger divisor: quotient 0, the remainder itself."""
    (low, high), (least, most) = operands
    return (least, min(most, high + 1)) if position == 1 and low >= 0 and least >= 0 else None


def _least_span(position: int, operands: Sequence[Interval]) -> Interval:
    return operands[position][0], operands[1 - position][1]


def _largest_span(position: int, operands: Sequence[Interval]) -> Interval:
    return operands[1 - position][0], operands[position][1]


SPANS: Mapping[str, Span] = {
    "FloorDiv": _divisor_span,
    "Mod": _divisor_span,
    "min": _least_span,
    "max": _largest_span,
}
"""By operator or function: see `Function.span`."""
