"""What users may give as a space, and as a configuration of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from flextune.csp.parameter_space import ParameterSpace
from flextune.csp.parameters import Parameter, Parameters, Value
from flextune.csp.python_rule import Rule
from flextune.errors import UsageError

Declared = ParameterSpace | Parameters | Mapping[str, Iterable[Value] | Parameter] | Iterable[Parameter]


def declared_space(space: Declared, constraints: Iterable[Rule] | Rule = ()) -> ParameterSpace:
    """The space with these constraints, and those it has already."""
    if not isinstance(space, ParameterSpace):
        return ParameterSpace.of(space, constraints)
    further = ParameterSpace.of(space.parameters, constraints).rules
    return ParameterSpace(space.parameters, (*space.rules, *further), space.kept) if further else space


def configuration(what: str, values: object) -> Mapping[str, Value]:
    """The values as they are. `UsageError` for what is no mapping of names to values."""
    if not isinstance(values, Mapping):
        raise UsageError(f"{what}: expected a configuration such as {{'tile': 8}}, got {values!r:.80}")
    return values
