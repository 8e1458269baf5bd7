"""`LayoutAssignment`: the layouts of a model's groups, as a value with a text form."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from flextune.errors import UsageError
from flextune.lowering.layout import NHWC, Layout

_RUN = r"\d{1,4}(-\d{1,4})?"
_RUNS = f"{_RUN}(,{_RUN})*"


@dataclass(frozen=True, slots=True, order=True)
class LayoutPair:
    """The layout of what a group's convolution reads, and that of everything else in the group."""

    data: Layout = NHWC
    result: Layout = NHWC

    @classmethod
    def parse(cls, text: str) -> LayoutPair:
        """From `str`'s text: `NCHW16c`, or `NCHW>NHWC` where they differ."""
        data, _, result = text.partition(">")
        return cls(Layout.parse(data), Layout.parse(result or data))

    def __str__(self) -> str:
        return str(self.data) if self.data == self.result else f"{self.data}>{self.result}"

    @property
    def is_default(self) -> bool:
        return self == LayoutPair()


@dataclass(frozen=True)
class LayoutAssignment:
    """The layouts of groups by their place in the plan of the model in NHWC; those not named are in NHWC.

    >>> str(LayoutAssignment.parse("NCHW16c:3-5,7 NCHW>NHWC:0").pairs[0][1])
    'NCHW>NHWC'
    """

    pairs: tuple[tuple[int, LayoutPair], ...] = ()

    @classmethod
    def of(cls, pairs: Mapping[int, LayoutPair]) -> LayoutAssignment:
        """Without the groups that are in NHWC anyway."""
        return cls(tuple((place, pair) for place, pair in sorted(pairs.items()) if not pair.is_default))

    @classmethod
    def parse(cls, text: str) -> LayoutAssignment:
        """Inverse of `str`. UsageError for any other text."""
        pairs: dict[int, LayoutPair] = {}
        for part in text.split() if text != str(NHWC) else ():
            pair, _, runs = part.partition(":")
            if not re.fullmatch(_RUNS, runs):
                raise UsageError(f"expected layouts such as NHWC or NCHW>NHWC:0 NCHW16c:3-5,7, got {text[:80]!r}")
            for run in runs.split(","):
                first, _, last = run.partition("-")
                pairs |= dict.fromkeys(range(int(first), int(last or first) + 1), LayoutPair.parse(pair))
        return cls.of(pairs)

    def __str__(self) -> str:
        places: dict[LayoutPair, list[int]] = {}
        for place, pair in self.pairs:
            places.setdefault(pair, []).append(place)
        return " ".join(f"{pair}:{_runs(found)}" for pair, found in places.items()) or str(NHWC)

    def __bool__(self) -> bool:
        return bool(self.pairs)

    @cached_property
    def _by_place(self) -> dict[int, LayoutPair]:
        return dict(self.pairs)

    @property
    def layouts(self) -> tuple[Layout, ...]:
        """All layouts that occur, and NHWC."""
        found = (layout for _, pair in self.pairs for layout in (pair.data, pair.result))
        return tuple(dict.fromkeys((NHWC, *found)))

    def of_group(self, place: int) -> LayoutPair:
        """The layouts of the group at this place of the plan."""
        return self._by_place.get(place, LayoutPair())


ALL_NHWC = LayoutAssignment()


def _runs(places: Sequence[int]) -> str:
    """`3-5,7` for 3, 4, 5, 7."""
    found = set(places)
    starts = [place for place in places if place - 1 not in found]
    ends = [place for place in places if place + 1 not in found]
    runs = zip(starts, ends, strict=True)
    return ",".join(str(first) if first == last else f"{first}-{last}" for first, last in runs)
