"""What a group of a model's operators can be compiled as: the value that plans, predictions and records share.

A plan says which alternatives each kind of group has (`fusion/alternatives.py`), and `group_kernels.py` which kernels
these are made of; `flextune.tuning.selection` says which of them deserve measuring and which is chosen, and a
`GroupDecision` keeps that. This file loads no TVM, because records are read without it.

Layouts are no alternatives of a group: what it writes others read, so they are assigned over the whole graph
(`layouts/`). Nor is the precision, which is one for the model (`flextune.lowering.precision`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias

from flextune.errors import UsageError


class Division(StrEnum):
    """Into which kernels a group goes."""

    FUSED = "fused"
    """All of it is one kernel."""
    PARTS = "parts"
    """The kernels that it is without the pattern that grouped it."""
    MERGED = "merged"
    """Products of one input as one product, whose result is cut by slices."""
    SEPARATE = "separate"
    """Each of these products by itself."""


_TEXT = re.compile(r"(?P<algorithm>.+?)(?P<size>[1-9][0-9]*)?")


@dataclass(frozen=True, slots=True)
class Alternative:
    """What a group can be compiled as. The text form is what records hold.

    >>> [str(each) for each in (FUSED, Alternative(algorithm="winograd", size=4), Alternative.parse("online"))]
    ['fused', 'winograd4', 'online']
    """

    division: Division = Division.FUSED
    """Into which kernels it goes."""
    algorithm: str = ""
    """What computes the main operator of its one kernel (`flextune.plan.fusion.algorithm`); empty: its definition."""
    size: int | None = None
    """The algorithm's parameter, where it has one: for Winograd's the outputs per edge of a tile."""

    def __post_init__(self) -> None:
        if not self.algorithm:
            if self.size is not None:
                raise UsageError(f"an alternative without an algorithm has no size, got {self.size!r}")
            return
        if self.division is not Division.FUSED:
            raise UsageError(f"algorithm {self.algorithm!r} makes one kernel, not {self.division}")
        if self.size is not None and (type(self.size) is not int or self.size < 1):
            raise UsageError(f"algorithm {self.algorithm!r}: expected a size of at least 1, got {self.size!r}")
        found = _TEXT.fullmatch(self.algorithm)
        if found is None or found["size"] is not None or self.algorithm in _DIVISIONS:
            raise UsageError(f"expected an algorithm's name, which ends with no number, got {self.algorithm!r:.80}")

    @classmethod
    def parse(cls, text: str) -> Alternative:
        """Inverse of `str`. Any word is one: records may speak of algorithms that are registered elsewhere."""
        if text in _DIVISIONS:
            return cls(Division(text))
        found = _TEXT.fullmatch(text)
        if found is None:
            raise UsageError(f"expected what a group is compiled as, such as fused or winograd4, got {text!r:.80}")
        return cls(algorithm=found["algorithm"], size=None if found["size"] is None else int(found["size"]))

    def __str__(self) -> str:
        return f"{self.algorithm}{'' if self.size is None else self.size}" or str(self.division)


_DIVISIONS = frozenset(map(str, Division))

FUSED = Alternative(Division.FUSED)
PARTS = Alternative(Division.PARTS)
MERGED = Alternative(Division.MERGED)
SEPARATE = Alternative(Division.SEPARATE)

Choice: TypeAlias = Mapping[str, Alternative]
"""What kinds of groups, by their names, are compiled as; those that are not named are compiled as their default."""
