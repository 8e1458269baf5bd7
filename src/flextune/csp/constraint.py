"""The constraint kinds. Each is a frozen value with operands (variable names or integers), and a name, reason and rule.

Semantics are those of exact integers; nothing wraps around. A constraint that does not hold makes the assignment no
solution. An auxiliary variable whose defining product or sum does not fit 64 bits has no value: no solution either.
"""

from __future__ import annotations

import ast
import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from flextune.csp import arithmetic
from flextune.csp.arithmetic import Numbers
from flextune.csp.domain import checked_integer, set_text
from flextune.errors import UsageError

Operand = str | int
Truth = npt.NDArray[np.bool_]


def _operand(value: object, what: str) -> Operand:
    return value if isinstance(value, str) else checked_integer(value, f"operand of {what}")


def _operands(values: object, what: str) -> tuple[Operand, ...]:
    if isinstance(values, str | int) or not hasattr(values, "__iter__"):
        raise UsageError(f"{what}: expected a sequence of variable names and integers, got {values!r}")
    return tuple(_operand(value, what) for value in values)


def column_of(operand: Operand, columns: Mapping[str, Numbers]) -> Numbers:
    """The column of a variable, or the constant as an array of shape ()."""
    return columns[operand] if isinstance(operand, str) else np.array(operand, dtype=np.int64)


@dataclass(frozen=True, slots=True)
class Constraint(ABC):
    """A statement about some variables that every solution satisfies.

    `name` identifies it in explanations, `reason` says why it is there, `rule` which schedule rule wrote it.
    """

    name: str = field(default="", kw_only=True)
    reason: str = field(default="", kw_only=True)
    rule: str = field(default="", kw_only=True)

    @abstractmethod
    def operands(self) -> tuple[Operand, ...]:
        """All operands, in order, constants included."""

    @abstractmethod
    def holds(self, columns: Mapping[str, Numbers]) -> Truth:
        """Whether it holds, by element (shape () when it reads no variable)."""

    @abstractmethod
    def formula(self) -> str:
        """The statement alone, in the text form of `Problem`."""

    @property
    def scope(self) -> tuple[str, ...]:
        """The names of the variables it reads, each once, in order."""
        return tuple(dict.fromkeys(operand for operand in self.operands() if isinstance(operand, str)))

    @property
    def label(self) -> str:
        """The name, or the formula where there is none."""
        return self.name or self.formula()

    def __str__(self) -> str:
        notes = [f"{key}={json.dumps(getattr(self, key))}" for key in ("name", "reason", "rule") if getattr(self, key)]
        return self.formula() + ("  ; " + " ".join(notes) if notes else "")


@dataclass(frozen=True, slots=True)
class Definition(Constraint):
    """A constraint `result == f(inputs)`: it can define an auxiliary variable."""

    result: Operand

    @abstractmethod
    def inputs(self) -> tuple[Operand, ...]:
        """The operands that determine the result."""

    @abstractmethod
    def compute(self, columns: Mapping[str, Numbers]) -> tuple[Numbers, Truth]:
        """The exact result by element, and where there is one."""

    def operands(self) -> tuple[Operand, ...]:
        return (self.result, *self.inputs())

    def holds(self, columns: Mapping[str, Numbers]) -> Truth:
        value, valid = self.compute(columns)
        return np.asarray((value == column_of(self.result, columns)) & valid, dtype=bool)


@dataclass(frozen=True, slots=True)
class Prod(Definition):
    """result == factors[0] * factors[1] * ...  (1 for no factors); any signs, zero included."""

    factors: tuple[Operand, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "result", _operand(self.result, "Prod"))
        object.__setattr__(self, "factors", _operands(self.factors, "Prod"))

    def inputs(self) -> tuple[Operand, ...]:
        return self.factors

    def compute(self, columns: Mapping[str, Numbers]) -> tuple[Numbers, Truth]:
        value = arithmetic.product([column_of(factor, columns) for factor in self.factors])
        return value, np.ones(value.shape, dtype=bool)

    def formula(self) -> str:
        text = map(str, self.factors)
        return f"{self.result} = " + (" * ".join(text) if len(self.factors) > 1 else f"prod({', '.join(text)})")


@dataclass(frozen=True, slots=True)
class Sum(Definition):
    """result == terms[0] + terms[1] + ...  (0 for no terms); any signs."""

    terms: tuple[Operand, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "result", _operand(self.result, "Sum"))
        object.__setattr__(self, "terms", _operands(self.terms, "Sum"))

    def inputs(self) -> tuple[Operand, ...]:
        return self.terms

    def compute(self, columns: Mapping[str, Numbers]) -> tuple[Numbers, Truth]:
        value = arithmetic.total([column_of(term, columns) for term in self.terms])
        return value, np.ones(value.shape, dtype=bool)

    def formula(self) -> str:
        text = map(str, self.terms)
        return f"{self.result} = " + (" + ".join(text) if len(self.terms) > 1 else f"sum({', '.join(text)})")


@dataclass(frozen=True, slots=True)
class Select(Definition):
    """result == options[index], counted from 0; an index below 0 or past the last option is no solution."""

    index: Operand
    options: tuple[Operand, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "result", _operand(self.result, "Select"))
        object.__setattr__(self, "index", _operand(self.index, "Select"))
        object.__setattr__(self, "options", _operands(self.options, "Select"))
        if not self.options:
            raise UsageError(f"Select for {self.result}: expected at least one option, got none")

    def inputs(self) -> tuple[Operand, ...]:
        return (self.index, *self.options)

    def compute(self, columns: Mapping[str, Numbers]) -> tuple[Numbers, Truth]:
        index = column_of(self.index, columns)
        constants = [option for option in self.options if not isinstance(option, str)]
        if len(constants) == len(self.options):
            return arithmetic.looked_up(index, constants)
        return arithmetic.chosen(index, [column_of(option, columns) for option in self.options])

    def formula(self) -> str:
        return f"{self.result} = select({self.index}; {', '.join(map(str, self.options))})"


@dataclass(frozen=True, slots=True)
class _Comparison(Constraint):
    left: Operand
    right: Operand

    def __post_init__(self) -> None:
        object.__setattr__(self, "left", _operand(self.left, type(self).__name__))
        object.__setattr__(self, "right", _operand(self.right, type(self).__name__))

    def operands(self) -> tuple[Operand, ...]:
        return (self.left, self.right)

    def _sides(self, columns: Mapping[str, Numbers]) -> tuple[Numbers, Numbers]:
        return column_of(self.left, columns), column_of(self.right, columns)


@dataclass(frozen=True, slots=True)
class Eq(_Comparison):
    """left == right."""

    def holds(self, columns: Mapping[str, Numbers]) -> Truth:
        left, right = self._sides(columns)
        return np.asarray(left == right, dtype=bool)

    def formula(self) -> str:
        return f"{self.left} == {self.right}"


@dataclass(frozen=True, slots=True)
class Ne(_Comparison):
    """left != right."""

    def holds(self, columns: Mapping[str, Numbers]) -> Truth:
        left, right = self._sides(columns)
        return np.asarray(left != right, dtype=bool)

    def formula(self) -> str:
        return f"{self.left} != {self.right}"


@dataclass(frozen=True, slots=True)
class Le(_Comparison):
    """left <= right."""

    def holds(self, columns: Mapping[str, Numbers]) -> Truth:
        left, right = self._sides(columns)
        return np.asarray(left <= right, dtype=bool)

    def formula(self) -> str:
        return f"{self.left} <= {self.right}"


@dataclass(frozen=True, slots=True)
class Lt(_Comparison):
    """left < right."""

    def holds(self, columns: Mapping[str, Numbers]) -> Truth:
        left, right = self._sides(columns)
        return np.asarray(left < right, dtype=bool)

    def formula(self) -> str:
        return f"{self.left} < {self.right}"


@dataclass(frozen=True, slots=True)
class Divides(Constraint):
    """dividend % divisor == 0. A zero divisor never holds, any other divides 0; signs do not matter."""

    divisor: Operand
    dividend: Operand

    def __post_init__(self) -> None:
        object.__setattr__(self, "divisor", _operand(self.divisor, "Divides"))
        object.__setattr__(self, "dividend", _operand(self.dividend, "Divides"))

    def operands(self) -> tuple[Operand, ...]:
        return (self.divisor, self.dividend)

    def holds(self, columns: Mapping[str, Numbers]) -> Truth:
        return arithmetic.divides(column_of(self.divisor, columns), column_of(self.dividend, columns))

    def formula(self) -> str:
        return f"{self.divisor} divides {self.dividend}"


@dataclass(frozen=True, slots=True)
class In(Constraint):
    """The variable is one of the values. The empty set is allowed and never holds."""

    variable: Operand
    values: tuple[int, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "variable", _operand(self.variable, "In"))
        values = {checked_integer(value, f"value of In for {self.variable}") for value in self.values}
        object.__setattr__(self, "values", tuple(sorted(values)))

    def operands(self) -> tuple[Operand, ...]:
        return (self.variable,)

    def holds(self, columns: Mapping[str, Numbers]) -> Truth:
        return np.isin(column_of(self.variable, columns), np.array(self.values, dtype=np.int64))

    def formula(self) -> str:
        return f"{self.variable} in {set_text(self.values)}"


@dataclass(frozen=True, slots=True)
class When(Constraint):
    """If the condition holds, so does `then`; where the condition does not hold nothing is asked."""

    condition: Constraint
    then: Constraint

    def operands(self) -> tuple[Operand, ...]:
        return (*self.condition.operands(), *self.then.operands())

    def holds(self, columns: Mapping[str, Numbers]) -> Truth:
        return np.asarray(~self.condition.holds(columns) | self.then.holds(columns), dtype=bool)

    def formula(self) -> str:
        return f"when {_grouped(self.condition)} then {self.then.formula()}"


def _grouped(constraint: Constraint) -> str:
    return f"({constraint.formula()})" if isinstance(constraint, When) else constraint.formula()


@dataclass(frozen=True, slots=True)
class Predicate(Constraint):
    """A user's function of the variables' values, called with keyword arguments named like the variables.

    It is called with Python integers and returns a truth value; with `vectorised` it is called with equally long int64
    arrays and returns an array of truth values. It must be pure, and defined for every combination of domain values
    (other constraints may be checked later). Its name must be registered (`register_predicate`) to be read from text.
    """

    variables: tuple[str, ...]
    function: Callable[..., object]
    vectorised: bool = field(default=False, kw_only=True)

    def __post_init__(self) -> None:
        variables = _operands(self.variables, "Predicate")
        if not variables or not all(isinstance(name, str) for name in variables):
            raise UsageError(f"Predicate {self.name}: expected variable names, got {self.variables!r}")
        object.__setattr__(self, "variables", tuple(dict.fromkeys(variables)))
        object.__setattr__(self, "name", self.name or getattr(self.function, "__name__", "predicate"))

    def operands(self) -> tuple[Operand, ...]:
        return self.variables

    def holds(self, columns: Mapping[str, Numbers]) -> Truth:
        arrays = np.broadcast_arrays(*(columns[name] for name in self.variables))
        if self.vectorised:
            result = np.asarray(self._call(dict(zip(self.variables, arrays, strict=True))), dtype=bool)
            return np.broadcast_to(result, arrays[0].shape)
        rows = zip(*(array.ravel().tolist() for array in arrays), strict=True)
        truth = [bool(self._call(dict(zip(self.variables, row, strict=True)))) for row in rows]
        return np.array(truth, dtype=bool).reshape(arrays[0].shape)

    def _call(self, values: Mapping[str, object]) -> object:
        try:
            return self.function(**values)
        except UsageError:
            raise
        except Exception as error:
            shown = "arrays" if self.vectorised else ", ".join(f"{name}={value}" for name, value in values.items())
            raise UsageError(
                f"predicate {self.name} raised {type(error).__name__}: {error} for {shown};"
                " it must be defined for every combination of domain values"
            ) from error

    def formula(self) -> str:
        return f"predicate {self.name}({', '.join(self.variables)})"


COMPARISON_CONSTRAINTS: Mapping[type[ast.cmpop], tuple[type[Eq | Ne | Le | Lt], bool]] = {
    ast.Eq: (Eq, False),
    ast.NotEq: (Ne, False),
    ast.LtE: (Le, False),
    ast.Lt: (Lt, False),
    ast.GtE: (Le, True),
    ast.Gt: (Lt, True),
}
"""The constraint of a comparison in Python's syntax, and whether its sides change places."""
