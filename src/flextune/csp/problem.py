"""A finite constraint problem: variables and constraints, checked, printable, and solvable."""

from __future__ import annotations

import difflib
import graphlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from flextune.csp.arithmetic import Numbers
from flextune.csp.constraint import Constraint, Definition, Truth
from flextune.csp.domain import INT64_MAX, INT64_MIN, Variable
from flextune.csp.problem_text import parse_lines
from flextune.errors import UsageError

if TYPE_CHECKING:
    from flextune.csp.compilation import Limits
    from flextune.csp.solutions import SolutionSet


@dataclass(frozen=True)
class Problem:
    """Variables and the constraints every solution satisfies. Immutable, hashable; `Problem.parse(str(p)) == p`.

    A solution gives every variable a value: those with a domain one of it, the auxiliary ones what their definition
    computes. The definition of an auxiliary variable is the first `Prod`, `Sum` or `Select` with it as result; further
    ones are checked like any other constraint. Auxiliary values are 64-bit integers: where the definition's exact
    result is not, there is no solution.

    Raises `UsageError` for unknown or doubled names, and for auxiliary variables without definition or in a cycle.

    >>> problem = Problem.parse('''
    ... var a in {1, 2, 4}
    ... var b in {1, 2, 4}
    ... aux c
    ... c = a * b
    ... c <= 4 ; name="small" reason="fits the buffer"
    ... ''')
    >>> problem.solve().count
    6
    """

    variables: tuple[Variable, ...]
    constraints: tuple[Constraint, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "variables", tuple(self.variables))
        object.__setattr__(self, "constraints", tuple(self.constraints))
        self._check_names()
        _ = self.definitions

    @classmethod
    def parse(cls, text: str) -> Problem:
        """Inverse of `str`; the grammar is in `flextune.csp.problem_text`. Raises `UsageError` with the line number."""
        return cls(*parse_lines(text))

    def __str__(self) -> str:
        return "\n".join(map(str, (*self.variables, *self.constraints))) + "\n"

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The names of all variables, in order."""
        return tuple(variable.name for variable in self.variables)

    @cached_property
    def definitions(self) -> dict[str, Definition]:
        """The definition of each auxiliary variable, in an order in which they can be computed."""
        auxiliary = {variable.name for variable in self.variables if variable.auxiliary}
        found: dict[str, Definition] = {}
        for constraint in self.constraints:
            if isinstance(constraint, Definition) and constraint.result in auxiliary:
                found.setdefault(str(constraint.result), constraint)
        if missing := sorted(auxiliary - found.keys()):
            raise UsageError(
                f"auxiliary variable {', '.join(missing)} is not defined: add a Prod, Sum or Select with it as result,"
                " or give it a domain"
            )
        needs = {name: [i for i in rule.inputs() if i in auxiliary] for name, rule in found.items()}
        try:
            order = tuple(graphlib.TopologicalSorter(needs).static_order())
        except graphlib.CycleError as error:
            cycle = " <- ".join(map(str, error.args[1]))
            raise UsageError(f"auxiliary variables are defined by each other: {cycle}; give one a domain") from None
        return {str(name): found[str(name)] for name in order}

    def with_constraints(self, constraints: Iterable[Constraint]) -> Problem:
        """The same problem with further constraints."""
        return Problem(self.variables, (*self.constraints, *constraints))

    def computed(self, columns: Mapping[str, Numbers]) -> tuple[dict[str, Numbers], Truth]:
        """`columns` of the variables with a domain, completed by the auxiliary ones; and where those have a value."""
        result = dict(columns)
        valid = np.ones((), dtype=bool)
        for name, definition in self.definitions.items():
            value, exists = definition.compute(result)
            if value.dtype == object:
                exists = np.asarray(exists & (value >= INT64_MIN) & (value <= INT64_MAX), dtype=bool)
                value = np.where(exists, value, 0).astype(np.int64)
            result[name] = value
            valid = valid & exists
        return result, valid

    def satisfied(self, columns: Mapping[str, Numbers]) -> Truth:
        """Whether each row is a solution. `columns` holds the variables with a domain; auxiliary ones are computed.

        Where an auxiliary variable is given too it must agree with its definition.
        """
        chosen = {v.name: np.asarray(columns[v.name], dtype=np.int64) for v in self.variables if v.domain is not None}
        complete, truth = self.computed(chosen)
        for variable in self.variables:
            if variable.domain is not None:
                truth = truth & np.isin(chosen[variable.name], np.array(variable.domain.values, dtype=np.int64))
            elif variable.name in columns:
                truth = truth & (columns[variable.name] == complete[variable.name])
        for constraint in self.constraints:
            truth = truth & constraint.holds(complete)
        rows = np.broadcast_shapes(*(column.shape for column in chosen.values()), ())
        return np.broadcast_to(np.asarray(truth, dtype=bool), rows)

    def solve(self, limits: Limits | None = None) -> SolutionSet:
        """All solutions. Never raises for "no solution" (the count is 0).

        `UsageError` when the diagram of the solutions grows past `limits`; the message says what to do.
        """
        from flextune.csp.solutions import solve  # the set knows its problem; the other way round only here

        return solve(self, limits)

    def _check_names(self) -> None:
        known = set(self.names)
        if len(known) < len(self.variables):
            doubled = sorted({name for name in self.names if self.names.count(name) > 1})
            raise UsageError(f"variable {', '.join(doubled)} is declared more than once")
        for constraint in self.constraints:
            for name in constraint.scope:
                if name not in known:
                    raise UsageError(f"constraint {constraint.label!r}: {unknown_name(name, self.names)}")


def unknown_name(name: str, known: Iterable[str]) -> str:
    """A sentence about an unknown variable, with the nearest known names."""
    near = difflib.get_close_matches(name, list(known), n=3)
    return f"unknown variable {name!r}" + (f"; did you mean {' or '.join(near)}?" if near else "")
