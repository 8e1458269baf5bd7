"""`flextune space`: the search space of a workload, every constraint with its reason."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flextune.cli.arguments import Json, TargetText, WorkloadText
from flextune.cli.output import JsonValue, print_json, table

if TYPE_CHECKING:
    from flextune.csp.constraint import Constraint
    from flextune.csp.problem import Problem
    from flextune.schedule.space import SearchSpace

_VALUES_SHOWN = 12
_FORMULA_WIDTH = 72


def space(workload: WorkloadText, target: TargetText = None, as_json: Json = False) -> None:
    """Print variables, constraints with their reasons, the exact size, the default, and one readable schedule."""
    from flextune.cli.inputs import read_target
    from flextune.platforms import platform_registry
    from flextune.workload.parse import parse_workload

    problem, chosen = parse_workload(workload), read_target(target)
    found = platform_registry.get(chosen.kind).search_space(problem, chosen)
    if as_json:
        print_json(space_facts(found))
    else:
        print(space_text(found))


def space_facts(space: SearchSpace) -> dict[str, JsonValue]:
    """The whole space as plain data; `schedule` is the default's, as code."""
    return {
        "workload": str(space.workload),
        "target": str(space.target),
        "size": space.solutions.count,
        "rules": list(space.rules),
        **problem_facts(space.problem),
        "default": dict(space.default),
        "schedule": space.trace.python(space.default),
    }


def problem_facts(problem: Problem) -> dict[str, JsonValue]:
    """Variables with domains, constraints with kind, formula, reason and rule; `problem` is the text form."""
    return {
        "variables": [
            {"name": variable.name, "values": None if variable.domain is None else list(variable.domain.values)}
            for variable in problem.variables
        ],
        "constraints": [_constraint_facts(constraint) for constraint in problem.constraints],
        "problem": str(problem),
    }


def _constraint_facts(constraint: Constraint) -> dict[str, JsonValue]:
    return {
        "kind": type(constraint).__name__,
        "name": constraint.name,
        "variables": list(constraint.scope),
        "formula": constraint.formula(),
        "reason": constraint.reason,
        "rule": constraint.rule,
    }


def space_text(space: SearchSpace) -> str:
    """The space for people: one line per variable and per constraint."""
    variables = [
        (variable.name, "computed" if variable.domain is None else _values(variable.domain.values))
        for variable in space.problem.variables
    ]
    constraints = [
        (type(constraint).__name__, _shortened(constraint.formula()), constraint.reason)
        for constraint in space.problem.constraints
    ]
    return "\n".join(
        (
            f"{space.workload}  on  {space.target}",
            f"{space.solutions.count} schedules from the rules {', '.join(space.rules)}",
            "",
            "variables",
            table(("name", "values"), variables, "  "),
            "",
            "constraints",
            table(("kind", "formula", "reason"), constraints, "  "),
            "",
            f"default   {space.default}",
            "",
            "schedule of the default",
            *("  " + line for line in space.trace.python(space.default).splitlines()),
        )
    )


def _shortened(formula: str) -> str:
    return formula if len(formula) <= _FORMULA_WIDTH else f"{formula[: _FORMULA_WIDTH - 10]} .. {formula[-6:]}"


def _values(values: tuple[int, ...]) -> str:
    shown = " ".join(map(str, values[:_VALUES_SHOWN]))
    return shown if len(values) <= _VALUES_SHOWN else f"{shown} .. {values[-1]} ({len(values)} values)"
