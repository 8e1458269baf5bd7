"""The order in which things were measured and decided, wherever they have come from and whenever they arrived."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Final, Protocol, TypeVar

LONG_AGO: Final = datetime.min.replace(tzinfo=UTC)
"""When something was made whose time cannot be true."""

_CLOCK_TOLERANCE: Final = timedelta(hours=1)
_LENGTH: Final = len("2025-01-31T12:00:00+00:00")


class Dated(Protocol):
    """What has a time, in ISO's form with an offset."""

    @property
    def created(self) -> str: ...


D = TypeVar("D", bound=Dated)


def moment_of(created: str, now: datetime | None = None) -> datetime:
    """The time that a text says; one without offset is UTC.

    One that is more than an hour in the future, made by a clock that is wrong, or that is no time at all, is
    `LONG_AGO`: it would otherwise count as the latest for as long as that clock is ahead.
    """
    try:
        moment = datetime.fromisoformat(created)
    except ValueError:
        return LONG_AGO
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return moment if moment <= (now or datetime.now(UTC)) + _CLOCK_TOLERANCE else LONG_AGO


def places_in_time(times: Sequence[str]) -> Sequence[int]:
    """The places of these texts of times in the order of time, those of equal times as they stand.

    >>> list(places_in_time(["2025-01-31T12:00:00+00:00", "2024-01-31T12:00:00+00:00"]))
    [1, 0]
    """
    now = datetime.now(UTC)
    if _ordered_already(times, (now + _CLOCK_TOLERANCE).isoformat(timespec="seconds")):
        return range(len(times))
    known: dict[str, datetime] = {}
    for each in times:
        if each not in known:
            known[each] = moment_of(each, now)
    return sorted(range(len(times)), key=lambda place: known[times[place]])


def in_order_of_time(things: Sequence[D]) -> list[D]:
    """The same in the order in which they were made, those of equal times as they stand."""
    return [things[place] for place in places_in_time([each.created for each in things])]


def from_future(things: Sequence[D]) -> list[D]:
    """Those whose time is more than an hour in the future of this host's clock."""
    if not things:
        return []
    now = datetime.now(UTC)
    latest = (now + _CLOCK_TOLERANCE).isoformat(timespec="seconds")
    doubtful = (each for each in things if not _is_plain(each.created) or each.created > latest)
    return [each for each in doubtful if moment_of(each.created, now) == LONG_AGO]


def _ordered_already(times: Sequence[str], latest: str) -> bool:
    """Whether texts of the usual form, which order as their times do, are in order, and none is in the future."""
    return not times or (all(map(_is_plain, times)) and all(map(str.__le__, times, times[1:])) and times[-1] <= latest)


def _is_plain(created: str) -> bool:
    return len(created) == _LENGTH and created.endswith("+00:00")
