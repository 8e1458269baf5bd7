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
class Role:
    """What a variable is for, in words that mean the same in all tasks."""

    variable: str
    """The variable's name in this task."""
    purpose: str
    """`cache` of `cache_oh`; `other cache` where it is of another computation than the main one."""
    axis: str = ""
    """The loop axis of the main computation along which, where it is along one."""


@dataclass(frozen=True, slots=True)
class TaskDescription:
    """A task, described so that what was learned of one says something about another.

    `axes` are those of the main computation in loop order, the vectorised one (`vector`) among them; `operands` what it
    accesses. `numbers` are further facts about the whole task and the machine, by name, with names of the same meaning
    for all tasks. `roles` say what variables are for; of one without, its name says it.
    Everything may be empty: then there is nothing but the names and values of the variables.
    """

    operator: str = ""
    """What is computed, by name."""
    axes: tuple[Axis, ...] = ()
    vector: str = ""
    operands: tuple[Operand, ...] = ()
    numbers: tuple[tuple[str, float], ...] = ()
    roles: tuple[Role, ...] = ()

    @property
    def by_name(self) -> Mapping[str, float]:
        return dict(self.numbers)

    def role(self, variable: str) -> Role:
        """What a variable is for."""
        return next((role for role in self.roles if role.variable == variable), Role(variable, variable))
