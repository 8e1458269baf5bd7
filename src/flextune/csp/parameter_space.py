"""Parameters with the rules that their values keep: the space that a user declares."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from flextune.csp.assignment import Assignment, Assignments
from flextune.csp.flattening import problem_of
from flextune.csp.parameters import Parameter, Parameters, Value
from flextune.csp.problem import Problem
from flextune.csp.python_rule import Rule
from flextune.csp.solutions import SolutionSet
from flextune.errors import InfeasibleError, UsageError


@dataclass(frozen=True)
class ParameterSpace:
    """The configurations of some parameters that keep every rule (an expression, or a predicate).

    >>> space = ParameterSpace.of({"x": [1, 2, 4], "y": [1, 2, 4]}, ["x * y <= 4"])
    >>> space.solutions.count
    6
    """

    parameters: Parameters
    rules: tuple[Rule, ...] = ()

    @classmethod
    def of(
        cls,
        declared: Parameters | Mapping[str, Iterable[Value] | Parameter] | Iterable[Parameter],
        rules: Iterable[Rule] | Rule = (),
    ) -> ParameterSpace:
        """From names with their values, or from parameters; and one rule or several."""
        parameters = declared if isinstance(declared, Parameters) else Parameters.of(declared)
        return cls(parameters, (rules,) if isinstance(rules, str) or callable(rules) else tuple(rules))

    @cached_property
    def problem(self) -> Problem:
        """The rules as constraints. `UsageError` for a rule that cannot be read or names an unknown parameter."""
        return problem_of(self.parameters, self.rules)

    @cached_property
    def solutions(self) -> SolutionSet:
        """The set to search. `InfeasibleError` naming the rules in conflict where no configuration keeps all."""
        solutions = self.problem.solve()
        if not solutions.count:
            conflict = solutions.explain()
            raise InfeasibleError(f"no configuration is feasible: {conflict}", conflict.names)
        return solutions

    def complete(self, values: Mapping[str, Value]) -> Assignment:
        """The member of the set with these values, auxiliary variables included. `UsageError` if there is none."""
        assignment = self.parameters.encode(values)
        if assignment not in self.solutions:
            raise UsageError(f"the configuration {dict(values)} breaks a constraint; it is not in the space")
        return self.solutions.unrank(self.solutions.rank(assignment))

    def members(self, configurations: Iterable[Mapping[str, Value]]) -> list[Assignment | None]:
        """`complete` of many configurations at once; None for one that is not in the set."""
        found: list[Assignment | None] = []
        rows: list[list[Value]] = []
        places: list[int] = []
        names, codes = self.parameters.names, [each.codes for each in self.parameters.parameters]
        for values in configurations:
            if len(values) == len(names) and all(name in values for name in names):
                row = [values[name] for name in names]
                if all(value in known for value, known in zip(row, codes, strict=True)):
                    rows.append(row)
                    places.append(len(found))
            found.append(None)
        for place, member in zip(places, self.members_of(self.parameters.encode_rows(rows)), strict=True):
            found[place] = member
        return found

    def members_of(self, assignments: Assignments) -> list[Assignment | None]:
        """The same for assignments of the parameters' variables, which may have any values."""
        found: list[Assignment | None] = [None] * len(assignments)
        inside = np.flatnonzero(self.solutions.contains_many(assignments))
        for place, member in zip(inside, self.solutions.completed(assignments.take(inside)), strict=True):
            found[place] = member
        return found

    def values(self, assignment: Mapping[str, int]) -> dict[str, Value]:
        """The values that a member of the set stands for."""
        return self.parameters.decode(assignment)


def parameters_json(parameters: Parameters) -> str:
    """Parameters as one line of JSON; `parameters_from_json` reads it."""
    return json.dumps({each.name: list(each.values) for each in parameters.parameters})


def parameters_from_json(text: str) -> Parameters:
    """Inverse of `parameters_json`. `UsageError` for anything else."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"parameters: expected JSON: {error}") from None
    if not isinstance(found, dict):
        raise UsageError(f"parameters: expected an object of names and values, got {text[:80]!r}")
    return Parameters.of(found)
