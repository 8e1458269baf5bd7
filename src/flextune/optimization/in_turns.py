"""Which of several ways is faster, timed in turns until it is clear: another than the first must be shown to be faster.

In every round each way is timed twice, in one order and back (a b c c b a), so that a steady drift meets all alike, and
who took less than the first way has won the round. Only who won counts, so outliers change little. What is clear is
decided by a bet: capital that starts at 1 and is put on one way winning more than half of the rounds grows by chance to
c times that with a probability of at most 1 / c, however often one looks (Ville's inequality; Shafer 2021, "Testing by
betting").
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import comb, inf

ERROR_PROBABILITY = 0.05
"""That a way is chosen that is not faster than the first one."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Rounds that are timed in any case, rounds at most, and seconds after which no other round begins."""

    least_rounds: int = 8
    most_rounds: int = 100
    secs: float = inf


@dataclass(frozen=True, slots=True)
class Outcome:
    """The number of the way to use, the seconds of each way, and the rounds it took.

    The first way's seconds are its median; another's are these times the median ratio of the rounds of both.
    """

    chosen: int
    secs: tuple[float, ...]
    rounds: int


def choose_in_turns(
    ways: Sequence[Callable[[], float]], limits: Limits, clock: Callable[[], float] = time.perf_counter
) -> Outcome:
    """The way to use; a call of one is a time in seconds. The first one, unless another is shown to be faster.

    A way that is shown to be slower than the first is not timed any more, nor one that fails, whose time is infinite
    then. Of several faster ones the median decides.
    """
    started, others = clock(), range(1, len(ways))
    times: list[list[float]] = [[] for _ in ways]
    limit = len(others) / ERROR_PROBABILITY
    running, rounds = list(range(len(ways))), 0
    while len(running) > 1 and rounds < limits.most_rounds:
        if rounds >= limits.least_rounds and (clock() - started >= limits.secs or _is_settled(times, running, limit)):
            break
        there, back = [ways[way]() for way in running], [ways[way]() for way in reversed(running)]
        for way, once, again in zip(running, there, reversed(back), strict=True):
            times[way].append((once + again) / 2)
        rounds += 1
        running = [way for way in running if way == 0 or _is_in(times[way], times[0], limit)]
    ratios = [_ratio(each, times[0]) for each in times]
    sound = [way for way in others if inf not in times[way]]
    faster = [way for way in sound if capital(*_score(times[0], times[way])) >= limit and ratios[way] < 1]
    first = statistics.median(times[0]) if times[0] else inf
    chosen = min(faster, key=ratios.__getitem__, default=0)
    return Outcome(
        chosen, tuple(inf if inf in way else first * r for way, r in zip(times, ratios, strict=True)), rounds
    )


def capital(losses: int, wins: int) -> Fraction:
    """What a stake of 1 has become that is spread evenly over all chances to win between one half and one.

    It is the integral of 2 (2 p)^wins (2 (1 - p))^losses over them, as a sum of binomial coefficients.
    """
    rounds = wins + losses
    return Fraction(sum(comb(rounds + 1, k) for k in range(wins + 1)), (rounds + 1) * comb(rounds, wins))


def _score(mine: Sequence[float], theirs: Sequence[float]) -> tuple[int, int]:
    """Rounds that took `mine` less, and rounds that took it more."""
    pairs = list(zip(mine, theirs, strict=False))
    return sum(left < right for left, right in pairs), sum(left > right for left, right in pairs)


def _ratio(mine: Sequence[float], first: Sequence[float]) -> float:
    ratios = [left / right for left, right in zip(mine, first, strict=False)]
    return statistics.median(ratios) if ratios else 1.0


def _is_in(mine: Sequence[float], first: Sequence[float], limit: float) -> bool:
    """Whether a way has neither failed nor been shown to be slower than the first."""
    return inf not in mine and capital(*_score(mine, first)) < limit


def _is_settled(times: Sequence[Sequence[float]], running: Sequence[int], limit: float) -> bool:
    """Whether the way that looks fastest is shown to be faster than the first one."""
    best = min(running, key=lambda way: _ratio(times[way], times[0]))
    return best != 0 and capital(*_score(times[0], times[best])) >= limit
