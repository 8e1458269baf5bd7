"""Who measures what next: candidates are given to hosts in shares, and come back in order.

Nothing here asks a host anything or looks at a clock: `FleetRunner` does. What an event costs does not depend on how
many candidates or hosts there are.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Generic, TypeVar

T = TypeVar("T")
B = TypeVar("B")

IN_FLIGHT = 2
"""Shares that a host has at a time: one that it works at, and one that it need not wait for."""

MOST = 64
"""Candidates in a share."""

_FIRST = 8
"""Of these at most is a share made while nobody knows how long one takes."""

_SHARE_SECS = 2.0
"""How long a share should take at most: so much is lost with a host, and waited for when a run ends."""

_BUILT_AHEAD = 2
"""Shares for each host that times, which are built and wait."""

LOSSES = 3
"""Of the hosts that were lost with a candidate in flight: after so many it has failed."""


class Duty(StrEnum):
    """What a host does."""

    TIMES = "times"
    BUILDS = "builds"


@dataclass(frozen=True, slots=True)
class Share:
    """Places of candidates that a host has got at once."""

    number: int
    """By which an answer is known; no number comes twice."""
    host: str
    duty: Duty
    """Whether they are to be measured, or only built."""
    places: tuple[int, ...]


class Shares(Generic[T, B]):
    """Shares of `count` candidates, whose results are `T`; `B` is what a host that only builds makes of one.

    A host that has room is given `next_share`; that ends with `measured`, `built`, or `lost`. `results` are in order.
    """

    def __init__(self, count: int, numbers: Iterator[int]) -> None:
        """`numbers` are those that shares get, of which none was a share's before."""
        self._waiting = deque(range(count))
        self._built: deque[int] = deque()
        self._programs: dict[int, B] = {}
        self._again: deque[int] = deque()
        self._losses: dict[int, int] = {}
        self._flying: dict[int, Share] = {}
        self._of_host: dict[str, dict[int, None]] = {}
        self._results: dict[int, T] = {}
        self._told = 0
        self._duties: dict[str, Duty] = {}
        self._timing = 0
        self._building = 0
        self._numbers = numbers
        self._spent_secs = self._spent_on = 0.0
        self._cut = count

    def join(self, host: str, duty: Duty) -> None:
        """A host that may be given shares."""
        self._duties[host] = duty
        self._of_host[host] = {}
        self._timing += duty is Duty.TIMES

    @property
    def done(self) -> bool:
        """Whether there is a result of every candidate, or of all that are to have one."""
        return self._told >= self._cut

    @property
    def hosts(self) -> tuple[str, ...]:
        return tuple(self._duties)

    def share(self, number: int) -> Share | None:
        """A share that a host has; None for one that nobody waits for any more."""
        return self._flying.get(number)

    def has_room(self, host: str) -> bool:
        """Whether it would take another share."""
        return len(self._of_host[host]) < IN_FLIGHT

    def next_share(self, host: str) -> Share | None:
        """What a host is to do next; None while it has enough, or there is nothing for it."""
        if not self.has_room(host):
            return None
        duty = self._duties[host]
        places = self._to_time() if duty is Duty.TIMES else self._to_build()
        if not places:
            return None
        share = Share(next(self._numbers), host, duty, places)
        self._flying[share.number] = share
        self._of_host[host][share.number] = None
        self._building += len(places) if duty is Duty.BUILDS else 0
        return share

    def program(self, place: int) -> B | None:
        """What has been built of a candidate."""
        return self._programs.get(place)

    def measured(self, number: int, results: Sequence[T], secs: float) -> None:
        """A host's answer, after so many seconds of its work. With fewer results than candidates it had no time left
        for the others: nothing from the first of them on is told."""
        share = self._landed(number)
        if share is None:
            return
        for place, result in zip(share.places, results, strict=False):
            self._results[place] = result
            self._programs.pop(place, None)
        if len(results) < len(share.places):
            self._cut = min(self._cut, share.places[len(results)])
        if results:
            self._spent_secs += secs
            self._spent_on += len(results)

    def built(self, number: int, outcomes: Sequence[B], failed: Sequence[T | None]) -> None:
        """The answer of a host that only builds: for each candidate its program, or the result where it failed."""
        share = self._landed(number)
        if share is None:
            return
        for place, program, failure in zip(share.places, outcomes, failed, strict=True):
            if failure is not None:
                self._results[place] = failure
            else:
                self._programs[place] = program
                self._built.append(place)

    def lost(self, host: str) -> list[int]:
        """The host is gone. Its candidates in flight are measured again, each alone; returns those lost too often."""
        if host not in self._duties:
            return []
        self._timing -= self._duties.pop(host) is Duty.TIMES
        hopeless: list[int] = []
        for number in list(self._of_host[host]):
            share = self._landed(number)
            for place in () if share is None else share.places:
                self._losses[place] = self._losses.get(place, 0) + 1
                (hopeless if self._losses[place] >= LOSSES else self._again).append(place)
        del self._of_host[host]
        return hopeless

    def fail(self, place: int, result: T) -> None:
        """The result of a candidate that no host has answered for."""
        self._results[place] = result

    def results(self) -> Iterator[tuple[int, T]]:
        """Those that are next in order, each once, with their places."""
        while self._told < self._cut and self._told in self._results:
            yield self._told, self._results.pop(self._told)
            self._told += 1

    def _landed(self, number: int) -> Share | None:
        """The share of an answer; None for one that nobody waits for any more."""
        share = self._flying.pop(number, None)
        if share is not None:
            del self._of_host[share.host][number]
            self._building -= len(share.places) if share.duty is Duty.BUILDS else 0
        return share

    def _to_time(self) -> tuple[int, ...]:
        if self._again:
            return (self._again.popleft(),)
        return _taken(self._built, self._size(len(self._built))) or _taken(
            self._waiting, self._size(len(self._waiting) + len(self._built) + self._building)
        )

    def _to_build(self) -> tuple[int, ...]:
        ahead = len(self._built) + self._building
        size = self._size(len(self._waiting))
        if ahead + size > _BUILT_AHEAD * max(1, self._timing) * MOST:
            return ()
        return _taken(self._waiting, size)

    def _size(self, left: int) -> int:
        """Half of what each host would get of what is left: the last shares are small, and all end together."""
        fair = math.ceil(left / (IN_FLIGHT * max(1, self._timing)))
        lasting = _SHARE_SECS * self._spent_on / self._spent_secs if self._spent_secs else _FIRST
        return max(1, min(fair, int(lasting), MOST))


def _taken(places: deque[int], most: int) -> tuple[int, ...]:
    return tuple(places.popleft() for _ in range(min(most, len(places))))
