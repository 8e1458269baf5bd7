"""One overlay: its parameters, and the cells that it takes."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Self

RAM_BYTES = 4096
"""Of a block RAM, without what is for parity; it is 8 bytes wide and 512 deep."""


@dataclass(frozen=True, slots=True)
class Overlay:
    """Values of the parameters of `overlay.v`."""

    rows: int
    """Of processing elements, which share elements of A."""
    columns: int
    """Likewise, of B."""
    bus: int
    """Bytes of operands a cycle."""
    results: int
    """Sums that leave in a cycle."""
    depth: int
    """Words of a slot: the longest piece along K."""
    slots: int
    """Pieces of each operand that are on the chip at once."""

    @property
    def elements(self) -> int:
        return self.rows * self.columns

    @property
    def dsps(self) -> int:
        """One multiplier for each element."""
        return self.elements

    @property
    def brams(self) -> int:
        """Of the slots of both operands: as many as they are bytes, or as the bus is wide."""
        return sum(
            max(-(-self.bus // 8), -(-self.slots * self.depth * word // RAM_BYTES))
            for word in (self.rows, self.columns)
        )

    @property
    def parameters(self) -> dict[str, int]:
        """By their names in Verilog."""
        bits = max(1, (self.slots - 1).bit_length())
        return {**{name.upper(): value for name, value in asdict(self).items()}, "BITS": bits}

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def parse(cls, text: str) -> Self:
        """Inverse of `to_json`."""
        return cls(**json.loads(text))
