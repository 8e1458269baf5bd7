"""What a variable may be: `Domain` (a finite set of integers) and `Variable` (a name with or without a domain)."""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Iterator
from dataclasses import dataclass

from flextune.errors import UsageError

INT64_MIN = -(2**63)
INT64_MAX = 2**63 - 1

MAX_DOMAIN_VALUES = 1_000_000
"""A domain is a list of values; larger ones have no place in a diagram that branches on them."""

NAME_PATTERN = r"[A-Za-z_][A-Za-z0-9_.]*"
RESERVED = frozenset({"var", "aux", "in", "when", "then", "divides", "prod", "sum", "select", "predicate"})


def checked_integer(value: object, what: str) -> int:
    """`value` as an int that fits 64 bits; a `UsageError` that names `what` otherwise (for floats and bools too)."""
    try:
        if isinstance(value, bool):
            raise TypeError
        number = operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        raise UsageError(f"{what}: expected an integer, got {value!r}") from None
    if not INT64_MIN <= number <= INT64_MAX:
        raise UsageError(f"{what}: {number} does not fit 64 bits")
    return number


@dataclass(frozen=True, slots=True)
class Domain:
    """A finite, non-empty set of 64-bit integers, kept sorted and unique.

    >>> str(Domain.divisors(12))
    '{1, 2, 3, 4, 6, 12}'
    >>> Domain.of(8, 4, 4).values
    (4, 8)
    """

    values: tuple[int, ...]

    def __post_init__(self) -> None:
        if set(map(type, self.values)) == {int} and min(self.values) >= INT64_MIN and max(self.values) <= INT64_MAX:
            values = tuple(sorted(set(self.values)))  # quick for a million of them
        else:
            values = tuple(sorted({checked_integer(value, "domain value") for value in self.values}))
        if not values:
            raise UsageError("a domain needs at least one value, got none")
        object.__setattr__(self, "values", values)

    @classmethod
    def of(cls, *values: int) -> Domain:
        """The given values."""
        return cls(values)

    @classmethod
    def divisors(cls, number: int) -> Domain:
        """All positive divisors of a positive number."""
        if checked_integer(number, "Domain.divisors") <= 0:
            raise UsageError(f"Domain.divisors: expected a positive number, got {number}")
        small = [d for d in range(1, math.isqrt(number) + 1) if number % d == 0]
        return cls(tuple(small + [number // d for d in small]))

    @classmethod
    def range(cls, low: int, high: int) -> Domain:
        """All integers from `low` to `high`, both included."""
        if high < low:
            raise UsageError(f"Domain.range: expected low <= high, got {low} and {high}")
        if high - low >= MAX_DOMAIN_VALUES:
            raise UsageError(
                f"Domain.range: {low}..{high} has more than {MAX_DOMAIN_VALUES} values; split the variable"
            )
        return cls(tuple(range(low, high + 1)))

    @classmethod
    def powers_of_two(cls, low: int, high: int) -> Domain:
        """The powers of two between `low` and `high`, both included."""
        values = tuple(1 << k for k in range(63) if low <= 1 << k <= high)
        if not values:
            raise UsageError(f"Domain.powers_of_two: no power of two between {low} and {high}")
        return cls(values)

    def __iter__(self) -> Iterator[int]:
        return iter(self.values)

    def __len__(self) -> int:
        return len(self.values)

    def __contains__(self, value: object) -> bool:
        return value in self.values

    def __str__(self) -> str:
        return set_text(self.values)


def set_text(values: tuple[int, ...]) -> str:
    """`{1, 2, 4}`, or `{1..8}` where sorted values leave no gap."""
    if len(values) > 3 and values[-1] - values[0] + 1 == len(values):
        return f"{{{values[0]}..{values[-1]}}}"
    return "{" + ", ".join(map(str, values)) + "}"


@dataclass(frozen=True, slots=True)
class Variable:
    """A named unknown. With a domain it is chosen; without (`None`) it is auxiliary: computed by its definition.

    The definition of an auxiliary variable is the first `Prod`, `Sum` or `Select` of the problem with it as result.
    """

    name: str
    domain: Domain | None = None

    def __post_init__(self) -> None:
        if not re.fullmatch(NAME_PATTERN, self.name) or self.name in RESERVED:
            raise UsageError(
                f"variable name {self.name!r}: expected letters, digits, '_' and '.', not starting with a digit,"
                f" and none of {', '.join(sorted(RESERVED))}"
            )

    @property
    def auxiliary(self) -> bool:
        return self.domain is None

    def __str__(self) -> str:
        return f"aux {self.name}" if self.domain is None else f"var {self.name} in {self.domain}"
