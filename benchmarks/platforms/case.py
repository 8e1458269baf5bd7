"""One row of the benchmark of platforms: a program on a device, its cost tuned and untuned, and the least it can be."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass

from flextune.errors import UsageError
from flextune.trial.cost import CostOrigin, Unit


@dataclass(frozen=True, slots=True)
class PlatformCase:
    """What one program costs on one device. All three numbers are of the same unit and origin."""

    platform: str
    """The device: the text of a target, or the family alone."""
    case: str
    """The program, and after a colon and a space what of it is counted, where that is not the whole cost."""
    correct: bool
    """Whether the outputs were those of a reference that shares no code with what made them."""
    cost: float
    """Of the tuned program."""
    unit: Unit
    """What is counted."""
    origin: CostOrigin
    """How the cost was found."""
    ideal: float
    """The least that the device can do it in: what its arithmetic alone takes."""
    default: float
    """Of the same program with its default schedule."""

    def __post_init__(self) -> None:
        for name in ("cost", "ideal", "default"):
            if not 0 < getattr(self, name) < math.inf:
                raise UsageError(f"{self.platform}, {self.case}: expected a positive {name}, got {getattr(self, name)}")

    @property
    def counted(self) -> str:
        """What of the cost is counted; empty where all of it is."""
        return self.case.partition(": ")[2]

    @property
    def over_ideal(self) -> float:
        """How many times the least possible cost it takes."""
        return self.cost / self.ideal

    @property
    def over_default(self) -> float:
        """How many times the default schedule's cost it takes."""
        return self.cost / self.default

    def to_dict(self) -> dict[str, object]:
        """As JSON holds it: the family by itself, and the device as a target."""
        return {**asdict(self), "platform": self.platform.partition(":")[0], "target": self.platform}


Cases = Callable[[], Iterable[PlatformCase]]
"""What a file beside this one has as `cases`. It raises `EnvironmentFault` where a tool is missing that it needs."""
