"""A size that is known only when a model runs: its name and range, and how often which size comes."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass

from flextune.errors import UsageError

LARGEST = 2**31 - 1
"""No size is larger: generated code counts elements in 32 bits."""

LOG, UNIFORM = "log", "uniform"
NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_FORM = re.compile(r"([^=]+)=(-?\d+)(?:\.\.(-?\d+))?(?::(-?\d+))?(?:@(.+))?")
_EXPECTED = "expected NAME=LOW..HIGH, such as seq=1..512, or seq=8..512:8 for multiples of 8"

Weights = str | tuple[tuple[int, float], ...]
"""`log` (a size from 1 to 10 comes as often as one from 10 to 100), `uniform`, or sizes with their weights."""


@dataclass(frozen=True, slots=True)
class Dim:
    """A dimension by name: it has a size from `lo` to `hi`, both included, that is a multiple of `multiple`.

    `str` is its text form and `Dim.parse` the inverse. Weights other than `log` follow an `@`, those of single sizes as
    SIZE*WEIGHT joined by `+`.

    >>> Dim.parse("seq=8..512:8").sizes[:3], str(Dim("batch", 1, 8, weights=UNIFORM))
    (range(8, 32, 8), 'batch=1..8@uniform')
    >>> Dim.parse("seq=1..512@16*3+128*1").weights
    ((16, 3.0), (128, 1.0))
    """

    name: str
    lo: int
    hi: int
    multiple: int = 1
    weights: Weights = LOG

    def __post_init__(self) -> None:
        if not NAME.fullmatch(self.name):
            raise UsageError(f"the name of a dimension consists of letters, digits and _, got {self.name!r}")
        if not 0 <= self.lo <= self.hi <= LARGEST:
            raise UsageError(
                f"dimension {self.name!r}: the range {self.lo}..{self.hi} is not one of sizes: "
                f"0 <= low <= high <= {LARGEST} must hold"
            )
        if self.multiple < 1:
            raise UsageError(f"dimension {self.name!r}: sizes are multiples of a number >= 1, not of {self.multiple}")
        if not self.sizes:
            raise UsageError(
                f"dimension {self.name!r}: no size from {self.lo} to {self.hi} is a multiple of {self.multiple}"
            )
        self._check_weights()

    def _check_weights(self) -> None:
        if self.weights in (LOG, UNIFORM):
            return
        if isinstance(self.weights, str) or not self.weights:
            raise UsageError(
                f"dimension {self.name!r}: weights are log, uniform, or SIZE*WEIGHT joined by +, got {self.weights!r}"
            )
        seen = [size for size, _ in self.weights]
        if strange := [size for size in seen if size not in self.sizes or seen.count(size) > 1]:
            raise UsageError(f"dimension {self.name!r}: {strange[0]} is no size of it, or has two weights")
        if bad := [weight for _, weight in self.weights if not 0 < weight < float("inf")]:
            raise UsageError(f"dimension {self.name!r}: a weight is a number > 0, not {bad[0]}")

    def __str__(self) -> str:
        multiple = f":{self.multiple}" if self.multiple != 1 else ""
        return f"{self.name}={self.lo}..{self.hi}{multiple}{self._weights_text()}"

    def _weights_text(self) -> str:
        if isinstance(self.weights, str):
            return "" if self.weights == LOG else f"@{self.weights}"
        return "@" + "+".join(f"{size}*{repr(float(weight)).removesuffix('.0')}" for size, weight in self.weights)

    @classmethod
    def parse(cls, text: str) -> Dim:
        """Inverse of `str`; NAME=SIZE is short for NAME=SIZE..SIZE. UsageError for any other text."""
        found = _FORM.fullmatch(text.strip().replace(" ", ""))
        if found is None:
            raise UsageError(f"cannot read the dimension {text!r}: {_EXPECTED}")
        name, lo, hi, multiple, weights = found.groups()
        return cls(name, int(lo), int(hi or lo), int(multiple or 1), _parse_weights(weights or LOG, text))

    @property
    def middle(self) -> int:
        """A size in the middle of its range, where sizes twice as large are as far as half as large."""
        wanted = math.isqrt(max(self.sizes[0], 1) * max(self.sizes[-1], 1))
        return self.sizes[min(max(wanted - self.sizes[0], 0) // self.multiple, len(self.sizes) - 1)]

    @property
    def sizes(self) -> range:
        """All sizes it can have."""
        return range(-(-self.lo // self.multiple) * self.multiple, self.hi + 1, self.multiple)

    @property
    def fixed(self) -> int | None:
        """The only size it can have, if there is only one."""
        return self.sizes[0] if len(self.sizes) == 1 else None

    def weight(self, size: int) -> float:
        """How often a size comes, relative to others; 0 for one that it cannot have.

        >>> Dim.parse("seq=1..512").weight(10) / Dim.parse("seq=1..512").weight(100)
        10.0
        """
        if size not in self.sizes:
            return 0.0
        if isinstance(self.weights, str):
            return 1.0 if self.weights == UNIFORM else 1.0 / max(size, 1)
        return dict(self.weights).get(size, 0.0)


def parse_dims(texts: Iterable[str]) -> tuple[Dim, ...]:
    """Dimensions of several texts, one each. UsageError where two have one name."""
    dims = tuple(map(Dim.parse, texts))
    names = [dim.name for dim in dims]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise UsageError(
            f"dimension {twice[0]!r} is given twice: {', '.join(str(d) for d in dims if d.name == twice[0])}"
        )
    return dims


def _parse_weights(text: str, whole: str) -> Weights:
    if text in (LOG, UNIFORM):
        return text
    pairs = []
    for part in text.split("+"):
        size, star, weight = part.partition("*")
        try:
            pairs.append((int(size), float(weight) if star else 1.0))
        except ValueError:
            raise UsageError(
                f"cannot read the weights of {whole!r}: expected log, uniform, or sizes as in @16*3+128*1"
            ) from None
    return tuple(pairs)
