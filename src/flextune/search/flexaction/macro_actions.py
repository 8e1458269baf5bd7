"""Macro-actions (lambda of FlexAction): named bundles of constraints that restrict a space before it is sampled."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from flextune.csp.assignment import Assignments
from flextune.csp.constraint import Constraint, Eq, In, Le, Truth
from flextune.csp.domain import Domain
from flextune.csp.problem import Problem
from flextune.errors import UsageError

AND = " & "
"""Between the names of what a combined action is made of."""


@dataclass(frozen=True)
class MacroAction:
    """At least one constraint of the kinds IN, EQ and LE, each about one variable.

    >>> print(MacroAction("small tiles", (In("tile", (1, 2)), Le("bytes", 4096))))
    small tiles: tile in {1, 2} and bytes <= 4096
    """

    name: str
    constraints: tuple[Constraint, ...]
    parts: tuple[str, ...] = ()
    """Names of the actions that it combines, if it does."""

    def __post_init__(self) -> None:
        if not self.constraints:
            raise UsageError(f"macro-action {self.name!r}: expected at least one constraint, got none")
        for constraint in self.constraints:
            if not isinstance(constraint, In | Eq | Le) or len(constraint.scope) != 1:
                raise UsageError(
                    f"macro-action {self.name!r}: expected IN, EQ or LE of one variable, got {constraint.formula()!r}"
                )

    @cached_property
    def key(self) -> frozenset[str]:
        """Equal for actions that say the same in the same words."""
        return frozenset(constraint.formula() for constraint in self.constraints)

    @property
    def is_combined(self) -> bool:
        return bool(self.parts)

    def holds(self, assignments: Assignments) -> Truth:
        """Which of the assignments satisfy it."""
        found = np.logical_and.reduce([constraint.holds(assignments.columns) for constraint in self.constraints])
        return np.asarray(found, dtype=bool)

    def __str__(self) -> str:
        return f"{self.name}: {' and '.join(constraint.formula() for constraint in self.constraints)}"


def conjunction(problem: Problem, actions: Sequence[MacroAction]) -> MacroAction | None:
    """What satisfies all of the actions, in as few constraints as possible; None where their values exclude each other.

    Constraints on a variable with a domain become one IN, or EQ where one value is left; of several limits on an
    auxiliary variable the tightest are kept.
    """
    domains = {variable.name: variable.domain for variable in problem.variables}
    by_variable: dict[str, dict[str, Constraint]] = {}
    for constraint in (constraint for action in actions for constraint in action.constraints):
        by_variable.setdefault(constraint.scope[0], {})[constraint.formula()] = constraint
    merged: list[Constraint] = []
    for variable, constraints in by_variable.items():
        together = _together(variable, domains[variable], tuple(constraints.values()))
        if together is None:
            return None
        merged += together
    names = sorted({name for action in actions for name in action.parts or (action.name,)})
    return MacroAction(AND.join(names), tuple(merged), tuple(names) if len(names) > 1 else ())


def one_of(variable: str, values: Sequence[int]) -> Constraint:
    """EQ for one value, IN for several."""
    return Eq(variable, values[0]) if len(values) == 1 else In(variable, tuple(values))


def _together(variable: str, domain: Domain | None, constraints: Sequence[Constraint]) -> list[Constraint] | None:
    if len(constraints) == 1:
        return list(constraints)
    if domain is None:
        return _tightest(constraints)
    column = np.array(domain.values, dtype=np.int64)
    left = column[np.logical_and.reduce([constraint.holds({variable: column}) for constraint in constraints])]
    return [one_of(variable, left.tolist())] if len(left) else None


def _tightest(constraints: Iterable[Constraint]) -> list[Constraint]:
    """Of the limits from above and from below the one that says most; whatever else there is, too."""
    upper: list[Le] = []
    lower: list[Le] = []
    others: list[Constraint] = []
    for constraint in constraints:
        match constraint:
            case Le(left=str(), right=int()):
                upper.append(constraint)
            case Le(left=int(), right=str()):
                lower.append(constraint)
            case _:
                others.append(constraint)
    least = sorted(upper, key=lambda limit: int(limit.right))[:1]
    largest = sorted(lower, key=lambda limit: -int(limit.left))[:1]
    return [*least, *largest, *others]
