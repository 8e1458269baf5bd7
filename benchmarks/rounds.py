"""Side by side: who is timed when, and what is said about the times."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from flextune.errors import UsageError


@dataclass(frozen=True, slots=True)
class Protocol:
    """How peers are timed.

    In each of `rounds` every peer in turn makes calls for `warm_secs` that are not counted, then a batch of calls that
    lasts about `batch_secs`; the time of a round is the batch's, divided by its calls. `threads` is the same for all.
    """

    threads: int
    rounds: int = 15
    batch_secs: float = 0.05
    warm_secs: float = 0.02

    def __post_init__(self) -> None:
        if self.threads < 1 or self.rounds < 1 or not self.batch_secs > 0 or not self.warm_secs >= 0:
            raise UsageError(f"threads, rounds and seconds of a batch must be positive, got {self}")


def turns(peers: Sequence[str], rounds: int) -> list[tuple[str, ...]]:
    """The order of peers in each round.

    It rotates, and every other round runs backwards: so no peer always follows the same one, and over 2 * len(peers)
    rounds each of them takes each place twice.

    >>> turns(["a", "b", "c"], 3)
    [('a', 'b', 'c'), ('c', 'b', 'a'), ('b', 'c', 'a')]
    """
    orders = []
    for number in range(rounds):
        start = number // 2 % max(1, len(peers))
        order = (*peers[start:], *peers[:start])
        orders.append(order[::-1] if number % 2 else order)
    return orders


def spread(secs: Sequence[float]) -> float:
    """Distance between the quartiles as a fraction of the median; 0 for a single time."""
    if len(secs) < 2:
        return 0.0
    low, middle, high = statistics.quantiles(secs, n=4, method="inclusive")
    return (high - low) / middle
