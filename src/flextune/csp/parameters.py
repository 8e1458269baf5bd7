"""Parameters of any kind: numbers, words and truth values, each as one integer variable of a problem.

Whole numbers and truth values stand for themselves; other values are numbered, numbers in their order and words in the
order they are declared in, so that neighbouring integers are neighbouring values.
"""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property

import numpy as np
import numpy.typing as npt

from flextune.csp.arithmetic import narrowed
from flextune.csp.assignment import Assignment, Assignments
from flextune.csp.domain import INT64_MAX, INT64_MIN, MAX_DOMAIN_VALUES, NAME_PATTERN, RESERVED, Domain, Variable
from flextune.errors import UsageError
from flextune.printable import is_whole_text
from flextune.registry import nearest

Value = bool | int | float | str

_MAX_NAME = 200


@dataclass(frozen=True)
class Parameter:
    """A name and the values it may have, each once, in the order they were declared.

    >>> Parameter.range("unroll", 1, 9, 4).values
    (1, 5, 9)
    >>> Parameter("level", ("-O2", "-O3")).code("-O3")
    1
    """

    name: str
    values: tuple[Value, ...]

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not 0 < len(self.name) <= _MAX_NAME or not self.name.isprintable():
            raise UsageError(f"parameter name: expected a short, printable text, got {self.name!r:.80}")
        if set(map(type, self.values)) != {int} or not _are_finite(self.values):  # quick for a million of them
            object.__setattr__(self, "values", tuple(self._checked(value) for value in self.values))
        if not self.values:
            raise UsageError(f"parameter {self.name!r} has no values; give it at least one")
        if len(self.values) > MAX_DOMAIN_VALUES:
            raise UsageError(f"parameter {self.name!r} has more than {MAX_DOMAIN_VALUES} values; use a coarser step")
        if len(set(self.values)) < len(self.values):
            seen: set[Value] = set()
            twice = next(value for value in self.values if value in seen or seen.add(value))  # type: ignore[func-returns-value]
            raise UsageError(f"parameter {self.name!r}: value {twice!r} is there twice; give each value once")

    @classmethod
    def range(cls, name: str, low: int, high: int, step: int = 1) -> Parameter:
        """`low`, `low + step`, ... up to `high`, which is included where a step meets it."""
        for value in (low, high, step):
            if not isinstance(value, int) or isinstance(value, bool):
                raise UsageError(f"parameter {name!r}: a range has whole numbers, got {value!r}")
        if step < 1 or high < low:
            raise UsageError(
                f"parameter {name!r}: expected low <= high and a step of at least 1, got {low}, {high}, {step}"
            )
        if (high - low) // step >= MAX_DOMAIN_VALUES:
            raise UsageError(f"parameter {name!r} has more than {MAX_DOMAIN_VALUES} values; use a coarser step")
        return cls(name, tuple(range(low, high + 1, step)))

    @classmethod
    def float_range(cls, name: str, low: float, high: float, step: float) -> Parameter:
        """`low`, `low + step`, ... up to `high`, which is included where a step meets it.

        >>> Parameter.float_range("rate", 0.1, 0.5, 0.2).values
        (0.1, 0.3, 0.5)
        """
        first, last, between = (_decimal(name, value) for value in (low, high, step))
        if between <= 0 or last < first:
            raise UsageError(f"parameter {name!r}: expected low <= high and a positive step, got {low}, {high}, {step}")
        count = int((last - first) / between) + 1
        _check_count(name, count)
        return cls(name, tuple(dict.fromkeys(float(first + index * between) for index in range(count))))

    @classmethod
    def log_range(cls, name: str, low: float, high: float, count: int) -> Parameter:
        """`count` values from `low` to `high`, both included, each the same multiple of the one before.

        Whole numbers where `low` and `high` are, each once, so that there may be fewer of them.

        >>> Parameter.log_range("rate", 0.001, 10.0, 5).values
        (0.001, 0.01, 0.1, 1.0, 10.0)
        >>> Parameter.log_range("tile", 1, 16, 9).values
        (1, 2, 3, 4, 6, 8, 11, 16)
        """
        first, last = (float(_decimal(name, value)) for value in (low, high))
        if not 0 < first <= last or not isinstance(count, int) or isinstance(count, bool) or count < 2:
            raise UsageError(
                f"parameter {name!r}: expected 0 < low <= high and at least 2 values, got {low}, {high}, {count!r:.80}"
            )
        _check_count(name, count)
        ratio = math.log(last / first) / (count - 1)
        inner = [first * math.exp(ratio * index) for index in range(1, count - 1)]
        if isinstance(low, int) and isinstance(high, int):
            return cls(name, tuple(dict.fromkeys((low, *map(round, inner), high))))
        rounded = (float(f"{value:.12g}") for value in inner)
        return cls(name, tuple(dict.fromkeys((first, *rounded, last))))

    @classmethod
    def powers_of_two(cls, name: str, low: int, high: int) -> Parameter:
        """The powers of two from `low` to `high`, both included."""
        values = tuple(1 << exponent for exponent in range(63) if low <= 1 << exponent <= high)
        if not values:
            raise UsageError(f"parameter {name!r} has no values: there is no power of two from {low} to {high}")
        return cls(name, values)

    def _checked(self, value: object) -> Value:
        if isinstance(value, np.generic):
            value = value.item()
        if isinstance(value, int | float) and not abs(value) <= sys.float_info.max:
            raise UsageError(f"parameter {self.name!r}: expected finite numbers, got {_shown(value)}")
        if isinstance(value, str) and not is_whole_text(value):
            raise UsageError(f"parameter {self.name!r}: expected text that can be written, got {value!r:.80}")
        if not isinstance(value, bool | int | float | str):
            raise UsageError(f"parameter {self.name!r}: expected a number, a text or a truth value, got {value!r:.80}")
        return value

    @cached_property
    def integral(self) -> bool:
        """Whether the values are whole numbers of 64 bits, or truth values, and stand for themselves."""
        kinds = set(map(type, self.values))
        return kinds == {bool} or (kinds == {int} and min(self.values) >= INT64_MIN and max(self.values) <= INT64_MAX)  # type: ignore[operator]

    @cached_property
    def ordered(self) -> tuple[Value, ...]:
        """The values in the order of their codes."""
        if any(issubclass(kind, str) for kind in set(map(type, self.values))):
            return self.values
        return tuple(sorted(self.values))

    @cached_property
    def codes(self) -> Mapping[Value, int]:
        """From value to integer."""
        if self.integral:
            return dict(zip(self.ordered, map(int, self.ordered), strict=True))
        return {value: position for position, value in enumerate(self.ordered)}

    @cached_property
    def decoded(self) -> Mapping[int, Value]:
        """From integer to value."""
        return {code: value for value, code in self.codes.items()}

    def code(self, value: Value) -> int:
        """The integer that stands for this value. `UsageError` for a value the parameter does not have."""
        try:
            return self.codes[value]
        except (KeyError, TypeError):
            raise UsageError(f"parameter {self.name!r}: {value!r:.80} is none of its values {self.shown}") from None

    @property
    def shown(self) -> str:
        """The first values, for messages."""
        return ", ".join(map(repr, self.values[:8])) + (", ..." if len(self.values) > 8 else "")

    def value(self, code: int) -> Value:
        """Inverse of `code`."""
        try:
            return self.decoded[code]
        except KeyError:
            raise UsageError(f"parameter {self.name!r}: {code} stands for none of its values") from None

    @property
    def kind(self) -> str:
        """`number` (truth values count as 0 and 1), `text`, or `mixed`."""
        texts = {issubclass(kind, str) for kind in set(map(type, self.values))}
        return "mixed" if len(texts) > 1 else "text" if texts == {True} else "number"

    def column(self, codes: npt.NDArray[np.int64]) -> npt.NDArray[np.generic]:
        """The values of an array of codes: integers, float64 where one is a fraction, objects for texts."""
        return codes if self.integral else self.table[codes]

    @cached_property
    def table(self) -> npt.NDArray[np.generic]:
        """The values by code, where they do not stand for themselves; truth values as 0 and 1."""
        if self.kind == "number" and any(isinstance(value, float) for value in self.ordered):
            return np.array([float(value) for value in self.ordered])
        table = np.empty(len(self.ordered), dtype=object)
        table[:] = [int(value) if isinstance(value, bool) else value for value in self.ordered]
        return narrowed(table) if self.kind == "number" else table


@dataclass(frozen=True)
class Parameters:
    """Named parameters, in order; from values to an `Assignment` of integer variables, and back.

    >>> parameters = Parameters.of({"tile": [8, 16], "level": ["-O2", "-O3"]})
    >>> str(parameters.encode({"tile": 16, "level": "-O3"}))
    'tile=16,level=1'
    """

    parameters: tuple[Parameter, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "parameters", tuple(self.parameters))
        if not self.parameters:
            raise UsageError("there are no parameters; name at least one, with its values")
        doubled = sorted({name for name in self.names if self.names.count(name) > 1})
        if doubled:
            raise UsageError(f"parameter {', '.join(map(repr, doubled))} is declared more than once")

    @classmethod
    def of(cls, declared: Mapping[str, Iterable[Value] | Parameter] | Iterable[Parameter]) -> Parameters:
        """From names with their values, or from parameters."""
        if not isinstance(declared, Mapping):
            return cls(tuple(declared))
        return cls(tuple(_parameter(name, values) for name, values in declared.items()))

    @cached_property
    def names(self) -> tuple[str, ...]:
        return tuple(parameter.name for parameter in self.parameters)

    @cached_property
    def variables(self) -> tuple[Variable, ...]:
        """One variable per parameter, of the same name where a problem can have it."""
        return tuple(
            Variable(name, Domain(tuple(parameter.codes.values())))
            for name, parameter in zip(self.variable_names, self.parameters, strict=True)
        )

    @cached_property
    def variable_names(self) -> tuple[str, ...]:
        """Names of the variables, in the order of the parameters."""
        found: list[str] = []
        for index, name in enumerate(self.names):
            fits = bool(re.fullmatch(NAME_PATTERN, name)) and name not in RESERVED
            variable = name if fits else f"parameter_{index}"
            while not fits and variable in (*self.names, *found):
                variable += "_"
            found.append(variable)
        return tuple(found)

    def __getitem__(self, name: str) -> Parameter:
        self._need_known(name)
        return self._by_name[name]

    def variable_name(self, name: str) -> str:
        """The variable of this parameter. `UsageError` with the nearest name for an unknown one."""
        self._need_known(name)
        return self.variable_names[self.names.index(name)]

    def encode(self, values: Mapping[str, Value]) -> Assignment:
        """The assignment of these values. `UsageError` for unknown and missing names, and for other values."""
        for name in values:
            self._need_known(name)
        if missing := [name for name in self.names if name not in values]:
            raise UsageError(f"parameter {', '.join(map(repr, missing))} has no value here; give one")
        pairs = zip(self.variable_names, self.parameters, strict=True)
        return Assignment({variable: parameter.code(values[parameter.name]) for variable, parameter in pairs})

    def decode(self, assignment: Mapping[str, int]) -> dict[str, Value]:
        """Inverse of `encode`; further (auxiliary) variables are left out."""
        pairs = zip(self.variable_names, self.parameters, strict=True)
        return {parameter.name: parameter.value(assignment[variable]) for variable, parameter in pairs}

    def encode_rows(self, rows: Sequence[Sequence[Value]]) -> Assignments:
        """Many configurations at once, each the values in the order of the parameters."""
        codes = np.array(
            [[p.code(value) for p, value in zip(self.parameters, row, strict=True)] for row in rows], dtype=np.int64
        ).reshape(len(rows), len(self.parameters))
        return Assignments({name: codes[:, index].copy() for index, name in enumerate(self.variable_names)})

    @cached_property
    def _by_name(self) -> Mapping[str, Parameter]:
        return dict(zip(self.names, self.parameters, strict=True))

    def _need_known(self, name: str) -> None:
        if name not in self._by_name:
            raise UsageError(f"unknown parameter {name!r}: {nearest(name, self.names)}")


def _decimal(name: str, value: object) -> Decimal:
    """As it is written: ten steps of 0.1 make 1."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) <= sys.float_info.max:
        raise UsageError(f"parameter {name!r}: expected a finite number, got {_shown(value)}")
    return Decimal(str(value))


def _are_finite(values: Sequence[Value]) -> bool:
    """Of whole numbers."""
    return -sys.float_info.max <= min(values) and max(values) <= sys.float_info.max  # type: ignore[operator]


def _shown(value: object) -> str:
    """The value; of a number of more digits than Python writes, that."""
    try:
        return f"{value!r:.80}"
    except ValueError:
        return "a number of thousands of digits"


def _check_count(name: str, count: int) -> None:
    if count > MAX_DOMAIN_VALUES:
        raise UsageError(f"parameter {name!r} has more than {MAX_DOMAIN_VALUES} values; use a coarser step")


def _parameter(name: str, values: Iterable[Value] | Parameter) -> Parameter:
    if isinstance(values, Parameter):
        return values if values.name == name else Parameter(name, values.values)
    if isinstance(values, str | bytes | Mapping) or not hasattr(values, "__iter__"):
        raise UsageError(f"parameter {name!r}: expected its values, as a list or a range, got {values!r:.80}")
    return Parameter(name, tuple(values))
