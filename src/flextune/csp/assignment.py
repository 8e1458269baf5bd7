"""Assignments: values of the variables of a problem, one (`Assignment`) or many (`Assignments`)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import overload

import numpy as np
import numpy.typing as npt

from flextune.errors import UsageError

Column = npt.NDArray[np.int64]


class Assignment(Mapping[str, int]):
    """A frozen, hashable mapping from variable name to value; prints and parses as `i=2,j=16`.

    >>> Assignment.parse("i=2,j=16")["j"]
    16
    """

    __slots__ = ("_hash", "_values")

    def __init__(self, values: Mapping[str, int]) -> None:
        self._values = {name: int(value) for name, value in values.items()}
        self._hash = hash(frozenset(self._values.items()))

    @classmethod
    def parse(cls, text: str) -> Assignment:
        """Inverse of `str`. Raises `UsageError` on anything that is not `name=integer` pairs."""
        values: dict[str, int] = {}
        for part in filter(None, text.split(",")):
            name, equals, value = part.partition("=")
            if not equals or not value.lstrip("-").isdigit():
                raise UsageError(f"expected name=integer, got {part!r} in assignment {text!r}")
            values[name.strip()] = int(value)
        return cls(values)

    def __getitem__(self, name: str) -> int:
        return self._values[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __hash__(self) -> int:
        return self._hash

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Assignment):
            return self._values == other._values
        return Mapping.__eq__(self, other)

    def __str__(self) -> str:
        return ",".join(f"{name}={value}" for name, value in self._values.items())

    def __repr__(self) -> str:
        return f"Assignment({self})"


@dataclass(frozen=True, slots=True)
class Assignments(Sequence[Assignment]):
    """Many assignments, stored by column: `columns[name]` is an int64 array with one value per assignment.

    `rows` is how many there are where there are no columns (assignments of nothing).
    """

    columns: Mapping[str, Column]
    rows: int = 0

    @classmethod
    def of(cls, rows: Sequence[Mapping[str, int]], names: Sequence[str]) -> Assignments:
        """Columns `names` of the given rows."""
        return cls({name: np.array([row[name] for row in rows], dtype=np.int64) for name in names})

    def __len__(self) -> int:
        return len(next(iter(self.columns.values()))) if self.columns else self.rows

    def __iter__(self) -> Iterator[Assignment]:
        if not self.columns:
            return iter([Assignment({})] * self.rows)
        names, rows = tuple(self.columns), zip(*(column.tolist() for column in self.columns.values()), strict=True)
        return (Assignment(dict(zip(names, row, strict=True))) for row in rows)

    @overload
    def __getitem__(self, index: int) -> Assignment: ...
    @overload
    def __getitem__(self, index: slice) -> Assignments: ...
    def __getitem__(self, index: int | slice) -> Assignment | Assignments:
        if isinstance(index, slice):
            rows = len(range(*index.indices(self.rows)))
            return Assignments({name: column[index] for name, column in self.columns.items()}, rows)
        if not -len(self) <= index < len(self):
            raise IndexError(f"assignment {index} of {len(self)}")
        return Assignment({name: int(column[index]) for name, column in self.columns.items()})

    def take(self, indices: npt.NDArray[np.intp]) -> Assignments:
        """The assignments at these positions, in this order."""
        return Assignments({name: column[indices] for name, column in self.columns.items()})

    def matrix(self, names: Sequence[str]) -> npt.NDArray[np.int64]:
        """Array of shape (len(self), len(names))."""
        return np.stack([self.columns[name] for name in names], axis=1)
