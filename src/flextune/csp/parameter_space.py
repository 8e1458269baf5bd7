"""Parameters with the rules that their values keep: the space that a user declares."""

from __future__ import annotations

import json
import math
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from functools import cached_property

import numpy as np

from flextune.csp.assignment import Assignment, Assignments
from flextune.csp.compilation import DiagramTooLargeError
from flextune.csp.drawn import Drawing
from flextune.csp.explain import Conflict, conflict_head, involved
from flextune.csp.flattening import problem_of
from flextune.csp.parameters import Parameter, Parameters, Value
from flextune.csp.problem import Problem
from flextune.csp.python_rule import Rule, rule_text
from flextune.csp.solutions import SolutionSet
from flextune.errors import InfeasibleError, UsageError
from flextune.printable import json_values


@dataclass(frozen=True)
class ParameterSpace:
    """The configurations of some parameters that keep every rule (an expression, or a predicate).

    >>> space = ParameterSpace.of({"x": [1, 2, 4], "y": [1, 2, 4]}, ["x * y <= 4"])
    >>> space.solutions.count
    6
    """

    parameters: Parameters
    rules: tuple[Rule, ...] = ()
    kept: tuple[Assignment, ...] = ()
    """Configurations that are there in any case, where not all that keep the rules can be (see `drawn`)."""

    @classmethod
    def of(
        cls,
        declared: Parameters | Mapping[str, Iterable[Value] | Parameter] | Iterable[Parameter],
        rules: Iterable[Rule] | Rule = (),
    ) -> ParameterSpace:
        """From names with their values, or from parameters; and one rule or several."""
        parameters = declared if isinstance(declared, Parameters) else Parameters.of(declared)
        if isinstance(rules, str) or callable(rules):
            return cls(parameters, (rules,))
        if not isinstance(rules, Iterable):
            raise UsageError(f"constraints: expected an expression, a function or a list of them, got {rules!r:.80}")
        return cls(parameters, tuple(rules))

    @cached_property
    def problem(self) -> Problem:
        """The rules as constraints. `UsageError` for a rule that cannot be read or names an unknown parameter."""
        return problem_of(self.parameters, self.rules)

    @cached_property
    def solutions(self) -> SolutionSet:
        """The set to search. `InfeasibleError` naming the rules in conflict where no configuration keeps all."""
        try:
            if self._drawing is not None:
                return self._drawn(self._drawing)
            solutions = self.problem.solve()
            if not solutions.count:
                conflict = solutions.explain()
                raise InfeasibleError(self._conflict_text(conflict), conflict.names)
        except DiagramTooLargeError as error:
            raise self._too_large() from error
        return solutions

    @cached_property
    def _drawing(self) -> Drawing | None:
        return Drawing.of(self.problem)

    def _drawn(self, drawing: Drawing) -> SolutionSet:
        names = self.parameters.variable_names
        solutions = drawing.drawn(names, Assignments.of(self.kept, names) if self.kept else None)
        asked = ", ".join(constraint.label for constraint in drawing.asked)
        if solutions is None:
            raise UsageError(
                f"none of a million configurations drawn at random keeps {asked}, and {drawing.wide.count:.3g} are too "
                "many to try: write it in plain arithmetic (+ - * // % min max and comparisons), which is taken apart"
            )
        warnings.warn(
            f"{drawing.wide.count:.3g} configurations are too many to try {asked} for each: the search is among "
            f"{solutions.count} that keep it, drawn at random; in plain arithmetic it would be taken apart",
            stacklevel=4,
        )
        return solutions

    def including(self, configurations: Iterable[Mapping[str, Value]]) -> ParameterSpace:
        """The same space with these configurations in it, where it is only drawn. `UsageError` for one that is not."""
        if self._drawing is None:
            return self
        kept = [self.parameters.encode(values) for values in configurations]
        for assignment, holds in zip(kept, self._keep_rules(kept), strict=True):
            if not holds:
                raise self._not_in_space(self.parameters.decode(assignment))
        return replace(self, kept=(*self.kept, *kept))

    def _keep_rules(self, assignments: Sequence[Assignment]) -> list[bool]:
        if not assignments:
            return []
        columns = Assignments.of(assignments, self.parameters.variable_names).columns
        return list(map(bool, self.problem.satisfied(columns)))

    def _not_in_space(self, values: Mapping[str, Value]) -> UsageError:
        if self._drawing is not None and self._keep_rules([self.parameters.encode(values)])[0]:
            return UsageError(f"the configuration {dict(values)} is not among those that were drawn of too many")
        return UsageError(f"the configuration {dict(values)} breaks a constraint; it is not in the space")

    def _conflict_text(self, conflict: Conflict) -> str:
        """The rules as they were written, and the values that the parameters in them have."""
        named = involved(self.problem, conflict.constraints)
        lines = [f"no configuration is feasible: {conflict_head(conflict.constraints)}"]
        lines += [f"  {constraint.label}" for constraint in conflict.constraints]
        for name, variable in zip(self.parameters.names, self.parameters.variable_names, strict=True):
            if variable in named:
                lines.append(f"  where {name} is one of {self.parameters[name].shown}")
        return "\n".join(lines)

    def _too_large(self) -> UsageError:
        combinations = Decimal(math.prod(len(each.values) for each in self.parameters.parameters))
        rules = "; ".join(map(rule_text, self.rules))
        return UsageError(
            f"the space is too large to count: of {combinations:.3g} combinations of values, the constraints"
            f" {rules:.300} leave too many that must be told apart. Use fewer or coarser values, add constraints on two"
            " or three parameters, such as 'x * y <= 1024', or write functions in plain arithmetic (+ - * // % min max"
            " and comparisons), which is taken apart"
        )

    def complete(self, values: Mapping[str, Value]) -> Assignment:
        """The member of the set with these values, auxiliary variables included. `UsageError` if there is none."""
        assignment = self.parameters.encode(values)
        if assignment not in self.solutions:
            raise self._not_in_space(values)
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
        found = json_values(text)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"parameters: expected JSON: {error}") from None
    if not isinstance(found, dict):
        raise UsageError(f"parameters: expected an object of names and values, got {text[:80]!r}")
    return Parameters.of(found)
