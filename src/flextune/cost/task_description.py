"""What a cost model may know about the task besides the values of its variables, in neutral terms."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Axis:
    """One loop axis of the task's main computation.

    `levels` are the variables whose product is how far one tile reaches along the axis, innermost level first; each
    level multiplies the ones before it. Without levels the axis is not tiled: every tile has all of it.
    """

    name: str
    extent: int
    reduced: bool = False
    levels: tuple[tuple[str, ...], ...] = ()


@dataclass(frozen=True, slots=True)
class Operand:
    """What the main computation reads or writes: per dimension, the axes in its index with their coefficients."""

    name: str
    item_bytes: int
    written: bool
    dimensions: tuple[tuple[tuple[str, int], ...], ...]

    @property
    def axes(self) -> frozenset[str]:
        return frozenset(axis for dimension in self.dimensions for axis, _ in dimension)


@dataclass(frozen=True, slots=True)
class TaskDescription:
    """A task, described so that what was learned of one says something about another.

    `axes` are those of the main computation in loop order, the vectorised one (`vector`) among them; `operands` what it
    accesses. `numbers` are further facts about the whole task and the machine, by name, with names of the same meaning
    for all tasks. `labels` are words that variable names may end with (blocks): what is left is the variable's role.
    Everything may be empty: then there is nothing but the names and values of the variables.
    """

    operator: str = ""
    axes: tuple[Axis, ...] = ()
    vector: str = ""
    operands: tuple[Operand, ...] = ()
    numbers: tuple[tuple[str, float], ...] = ()
    labels: tuple[str, ...] = ()

    @property
    def by_name(self) -> Mapping[str, float]:
        return dict(self.numbers)

    def role(self, variable: str) -> tuple[str, str]:
        """What a variable is for, and along which axis: ("cache", "oh") of `cache_oh`, ("unroll", "") of `unroll`.

        Variables of another computation than the main one, as `dense.cache_j`, have the role `other cache`.
        """
        owner, _, name = variable.rpartition(".")
        other = "other " if owner else ""
        for axis in self.axes:
            if name.endswith(f"_{axis.name}"):
                return other + name.removesuffix(f"_{axis.name}"), "" if owner else axis.name
        for label in sorted(self.labels, key=len, reverse=True):
            if name.endswith(f"_{label}"):
                return other + name.removesuffix(f"_{label}"), ""
        return other + name, ""
