"""`Cost`: what a program takes, with where the number comes from."""

from __future__ import annotations

import math
from dataclasses import dataclass

from flextune.errors import UsageError
from flextune.quantities import CostOrigin as CostOrigin
from flextune.quantities import Scale
from flextune.quantities import Unit as Unit


@dataclass(frozen=True, slots=True)
class Cost:
    """A program's cost by its parts: computing and moving data go on at once, the launch comes on top."""

    compute: float
    """For its arithmetic."""
    memory: float
    """For moving its data."""
    launch: float
    """For starting it."""
    unit: Unit = Unit.SECONDS
    """What the numbers count."""
    origin: CostOrigin = CostOrigin.MODELLED
    """How they were found."""

    def __post_init__(self) -> None:
        for name in ("compute", "memory", "launch"):
            if not 0 <= getattr(self, name) < math.inf:
                raise UsageError(f"expected {name} to be a number of {self.unit} from 0 on, got {getattr(self, name)}")

    @property
    def scale(self) -> Scale:
        """What the numbers are, in one value."""
        return Scale(self.unit, self.origin)

    @property
    def total(self) -> float:
        return self.launch + max(self.compute, self.memory)
