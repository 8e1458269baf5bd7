"""An interleaved A/B test of run times: which of several variants is faster, timed until the evidence is clear.

In every round each variant is timed twice, in one order and back (a b c c b a), so that a steady drift meets all alike,
and what took less than the first variant has won the round. Only who won counts, so outliers change little. The
evidence is an e-value: what a capital of 1 has become that was bet on a variant winning more than half of the rounds.
Where it does not, the capital is a martingale, which ever reaches c with a probability of at most 1 / c (Ville's
inequality; Shafer 2021, "Testing by betting"), so one may look after every round and stop as soon as it is clear.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import comb, inf

ERROR_PROBABILITY = 0.05
"""That a variant is chosen that is not faster than the first one."""


@dataclass(frozen=True, slots=True)
class Limits:
    """When a test ends that does not become clear before."""

    least_rounds: int = 8
    """Timed in any case that is not `most_secs`: with fewer, nothing is shown."""
    most_rounds: int = 100
    secs: float = inf
    """After which no other round begins that is not one of the least."""
    most_secs: float = inf
    """After which none begins at all, the first one excepted."""


@dataclass(frozen=True, slots=True)
class ABTestResult:
    """The number of the variant to use, the seconds of each variant, and the rounds it took.

    The first variant's seconds are its median; another's are these times the median ratio of the rounds of both.
    """

    chosen: int
    secs: tuple[float, ...]
    rounds: int
    is_cut: bool = False
    """Whether `Limits.most_secs` ended it, so that a faster variant may not have been shown to be one."""


def interleaved_test(
    variants: Sequence[Callable[[], float]], limits: Limits, clock: Callable[[], float] = time.perf_counter
) -> ABTestResult:
    """The variant to use; a call of one is a time in seconds. The first one, unless another is shown to be faster.

    A variant that is shown to be slower than the first is not timed any more, nor one that fails, whose time is
    infinite then. Of several faster ones the median decides.
    """
    started, others = clock(), range(1, len(variants))
    times: list[list[float]] = [[] for _ in variants]
    threshold = len(others) / ERROR_PROBABILITY
    running, rounds, is_cut = list(range(len(variants))), 0, False
    while len(running) > 1 and rounds < limits.most_rounds:
        elapsed = clock() - started
        if is_cut := rounds > 0 and elapsed >= limits.most_secs:
            break
        if rounds >= limits.least_rounds and (elapsed >= limits.secs or _is_settled(times, running, threshold)):
            break
        there, back = [variants[each]() for each in running], [variants[each]() for each in reversed(running)]
        for each, once, again in zip(running, there, reversed(back), strict=True):
            times[each].append((once + again) / 2)
        rounds += 1
        running = [each for each in running if each == 0 or _is_in(times[each], times[0], threshold)]
    ratios = [_ratio(each, times[0]) for each in times]
    sound = [each for each in others if inf not in times[each]]
    faster = [each for each in sound if ratios[each] < 1 and e_value(*_score(times[0], times[each])) >= threshold]
    first = statistics.median(times[0]) if times[0] else inf
    chosen = min(faster, key=ratios.__getitem__, default=0)
    secs = tuple(inf if inf in each else first * ratio for each, ratio in zip(times, ratios, strict=True))
    return ABTestResult(chosen, secs, rounds, is_cut and not chosen)


def e_value(losses: int, wins: int) -> Fraction:
    """The evidence that a variant wins more than half of the rounds: on average at most 1 where it does not.

    It is what a stake of 1 has become that is spread evenly over all chances to win between one half and one: the
    integral of 2 (2 p)^wins (2 (1 - p))^losses over them, as a sum of binomial coefficients.

    >>> e_value(0, 0), float(e_value(0, 8)) > 20
    (Fraction(1, 1), True)
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


def _is_in(mine: Sequence[float], first: Sequence[float], threshold: float) -> bool:
    """Whether a variant has neither failed nor been shown to be slower than the first."""
    return inf not in mine and e_value(*_score(mine, first)) < threshold


def _is_settled(times: Sequence[Sequence[float]], running: Sequence[int], threshold: float) -> bool:
    """Whether the variant that looks fastest is shown to be faster than the first one."""
    best = min(running, key=lambda each: _ratio(times[each], times[0]))
    return best != 0 and e_value(*_score(times[0], times[best])) >= threshold
