"""Rules that are Python functions of some parameters' values."""

from __future__ import annotations

import ast
import difflib
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from flextune.csp.expression import Expression
from flextune.csp.parameters import Parameters, Value
from flextune.csp.python_arithmetic import Truth
from flextune.csp.tracing import OfDict, traced
from flextune.errors import UsageError
from flextune.registry import nearest

Rule = str | Callable[..., object]
"""An expression, or a predicate whose arguments are named like the parameters it reads."""

_COMPARED = 200
_LEAST_NAME = 3


def rule_text(rule: Rule) -> str:
    """The expression, or the name of the predicate."""
    return rule if isinstance(rule, str) else str(getattr(rule, "__name__", "predicate"))


def keyword_form(parameters: Parameters, function: Callable[..., object]) -> Callable[..., object]:
    """The function itself, if its arguments are named like parameters; one whose only argument is not takes a dict."""
    try:
        arguments = list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):
        return function
    needed = [each for each in arguments if each.default is inspect.Parameter.empty]
    is_one = len(needed) == 1 and needed[0].kind in (
        inspect.Parameter.POSITIONAL_ONLY,
        inspect.Parameter.POSITIONAL_OR_KEYWORD,
    )
    is_meant = is_one and not any(each.name in parameters.names for each in arguments)
    return OfDict(function) if is_meant and not _is_misspelt(needed[0].name, parameters) else function


def _is_misspelt(name: str, parameters: Parameters) -> bool:
    """Whether the name of an argument is nearly that of a parameter; short ones such as `p` are nearly any."""
    return len(name) >= _LEAST_NAME and bool(difflib.get_close_matches(name, parameters.names, 1))


@dataclass(frozen=True)
class PythonRule:
    """The function as that of a vectorised `Predicate`: it is called for every row of codes."""

    parameters: Parameters
    function: Callable[..., object]
    names: tuple[str, ...]
    """The parameters that it reads."""

    def __call__(self, **codes: npt.NDArray[np.int64]) -> Truth:
        columns = [self._values(name, codes[self.parameters.variable_name(name)]) for name in self.names]
        shape = next(iter(codes.values())).shape
        return np.fromiter(self._truths(columns), dtype=bool, count=int(np.prod(shape))).reshape(shape)

    def _values(self, name: str, codes: npt.NDArray[np.int64]) -> list[Value]:
        return list(map(self.parameters[name].decoded.__getitem__, codes.ravel().tolist()))

    def _truths(self, columns: Sequence[Sequence[Value]]) -> Sequence[bool]:
        """One for each row."""
        if self._positional:
            try:
                return list(map(bool, map(self.function, *columns)))
            except Exception:  # noqa: BLE001 called again below, row by row, for the message
                pass
        return [self.holds(dict(zip(self.names, row, strict=True))) for row in zip(*columns, strict=True)]

    @property
    def _positional(self) -> bool:
        """Whether it may be called with the values alone, which is quicker."""
        try:
            arguments = inspect.signature(self.function).parameters.values()
        except (TypeError, ValueError):
            return False
        plain = [each.name for each in arguments if each.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD]
        return tuple(plain[: len(self.names)]) == self.names

    def holds(self, values: Mapping[str, Value]) -> bool:
        """For one configuration. `UsageError` that names it where the function raises."""
        try:
            return bool(self.function(**values))
        except UsageError:
            raise
        except Exception as error:
            shown = ", ".join(f"{name}={value!r}" for name, value in values.items())
            got = (
                " (it got a dict of them, as its argument is no parameter)" if isinstance(self.function, OfDict) else ""
            )
            raise UsageError(
                f"predicate {rule_text(self.function)} raised {type(error).__name__}: {error} for {shown}{got};"
                " it must be defined for every combination of domain values"
            ) from error

    def decomposable(self) -> tuple[Expression, ast.expr] | None:
        """The function as an expression, where tracing it gives one that agrees with it on a sample."""
        tree = traced(self.function, {name: self.parameters[name].integral for name in self.names})
        if tree is None:
            return None
        if isinstance(tree, bool):  # always, or never
            name = ast.Name(self.names[0])
            tree = ast.Compare(name, [ast.Eq() if tree else ast.NotEq()], [name])
        try:
            expression = Expression(rule_text(self.function), self.parameters, tree)
        except UsageError:
            return None
        return (expression, tree) if self._agrees(expression) else None

    def _agrees(self, expression: Expression) -> bool:
        rng = np.random.default_rng(0)
        codes: dict[str, npt.NDArray[np.int64]] = {}
        for name in self.names:
            known = np.array(sorted(self.parameters[name].codes.values()), dtype=np.int64)
            codes[self.parameters.variable_name(name)] = rng.choice(known, _COMPARED)
        try:
            found = expression.values(codes)
            rows = np.flatnonzero(np.broadcast_to(found.defined, _COMPARED))
            expected = self(**{name: column[rows] for name, column in codes.items()})
        except UsageError:
            return False
        return bool((np.broadcast_to(found.truth, _COMPARED)[rows] == expected).all())


def arguments_of(parameters: Parameters, function: Callable[..., object]) -> tuple[str, ...]:
    """The parameters that a predicate reads: its arguments; all of them where it takes any."""
    name = rule_text(function)
    try:
        arguments: Mapping[str, inspect.Parameter] = inspect.signature(function).parameters
    except (TypeError, ValueError):
        raise UsageError(f"constraint {name!r}: a function must name its arguments like the parameters") from None
    kinds = [argument.kind for argument in arguments.values()]
    if inspect.Parameter.VAR_KEYWORD in kinds:
        return parameters.names
    if any(kind in (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.VAR_POSITIONAL) for kind in kinds):
        raise UsageError(f"constraint {name!r}: its arguments must be named like the parameters")
    known = [argument for argument in arguments.values() if argument.name in parameters.names]
    for argument in arguments.values():
        if argument not in known and argument.default is inspect.Parameter.empty:
            raise UsageError(
                f"constraint {name!r}: unknown parameter {argument.name!r}: {nearest(argument.name, parameters.names)}"
            )
    if not known:
        raise UsageError(f"constraint {name!r} names no parameter: {nearest('', parameters.names)}")
    return tuple(argument.name for argument in known)
