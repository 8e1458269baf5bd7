"""What a record from a file must be good for: to be shown, learned from, and rebuilt without running what it holds."""

from __future__ import annotations

from functools import lru_cache

from flextune.csp.assignment import Assignment
from flextune.csp.parameter_space import parameters_from_json
from flextune.csp.parameters import Parameters
from flextune.errors import UsageError
from flextune.workload.parse import parse_workload
from flextune.workload.stored_program import check_stored_program
from flextune.workload.workload import TIR


@lru_cache(maxsize=256)
def check_program(workload: str, body: str | None) -> None:
    """Raises `UsageError` where a program of a model is not the one its workload names, or does more than compute.

    Named operators are not looked up: those that this version does not know may be another's.
    """
    if workload.partition(":")[0].strip() == TIR:
        check_stored_program(parse_workload(workload, body).body or "")


def codes_by_variable(parameters: str) -> dict[str, frozenset[int]]:
    """What each variable of an objective's trials may be. `UsageError` where the text does not say its parameters."""
    found = _parameters(parameters)
    codes = (frozenset(parameter.codes.values()) for parameter in found.parameters)
    return dict(zip(found.variable_names, codes, strict=True))


def check_objective(parameters: str, assignment: Assignment) -> None:
    """Raises `UsageError` where a trial of an objective does not say its values by the parameters it has."""
    try:
        _parameters(parameters).decode(assignment)
    except KeyError as error:
        raise UsageError(f"the record's assignment has no parameter {error}") from None


@lru_cache(maxsize=64)
def _parameters(text: str) -> Parameters:
    return parameters_from_json(text)
