"""Parameters of operators: each kind checks one value and brings it into its one canonical form."""

from __future__ import annotations

import difflib
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from flextune.errors import UsageError

Value = int | str
MAX_SIZE = 2**31 - 1


def nearest(word: str, known: Iterable[str]) -> str:
    """A hint such as `; did you mean 'gemm'?`, or an empty text when nothing is close."""
    matches = difflib.get_close_matches(word, list(known), n=2)
    return f"; did you mean {' or '.join(repr(match) for match in matches)}?" if matches else ""


@dataclass(frozen=True, slots=True)
class Parameter(ABC):
    """A named parameter. Without a `default` it must be given; `always_printed` keeps it in the text form."""

    name: str
    default: Value | None = None

    @property
    def always_printed(self) -> bool:
        return self.default is None

    @abstractmethod
    def canonical(self, value: Value) -> Value:
        """The one form of `value`; raises `ValueError` with what was expected."""


@dataclass(frozen=True, slots=True)
class Size(Parameter):
    """A positive extent."""

    @property
    def always_printed(self) -> bool:
        return True

    def canonical(self, value: Value) -> int:
        return _integer(value, 1)


@dataclass(frozen=True, slots=True)
class Count(Parameter):
    """A positive number that is not an extent, such as groups; printed only when it is not the default."""

    def canonical(self, value: Value) -> int:
        return _integer(value, 1)


@dataclass(frozen=True, slots=True)
class Flag(Parameter):
    """0 or 1."""

    default: Value | None = 0

    def canonical(self, value: Value) -> int:
        if str(value) not in ("0", "1"):
            raise ValueError("0 or 1")
        return int(value)


@dataclass(frozen=True, slots=True)
class Choice(Parameter):
    """One of a few words."""

    choices: tuple[str, ...] = ()
    printed: bool = False

    @property
    def always_printed(self) -> bool:
        return self.printed or self.default is None

    def canonical(self, value: Value) -> str:
        if str(value) not in self.choices:
            raise ValueError(f"one of {', '.join(self.choices)}{nearest(str(value), self.choices)}")
        return str(value)


@dataclass(frozen=True, slots=True)
class PerDimension(Parameter):
    """One number for all spatial dimensions, or one for each as in `2x1`; printed short where all agree.

    With `ends`, also twice as many: all the begins, then all the ends, as ONNX writes pads.
    """

    dimensions: int = 2
    minimum: int = 1
    ends: bool = False

    def canonical(self, value: Value) -> Value:
        numbers = tuple(_integer(part, self.minimum) for part in str(value).split("x"))
        if self.ends and len(numbers) == 2 * self.dimensions:
            half = self.dimensions
            if numbers[:half] != numbers[half:]:
                return "x".join(map(str, numbers))
            numbers = numbers[:half]
        if len(numbers) not in (1, self.dimensions):
            raise ValueError(f"1 or {self._counts()} numbers joined by x")
        return numbers[0] if len(set(numbers)) == 1 else "x".join(map(str, numbers))

    def _counts(self) -> str:
        return f"{self.dimensions} or {2 * self.dimensions}" if self.ends else str(self.dimensions)


@dataclass(frozen=True, slots=True)
class Chain(Parameter):
    """Words joined by `+`, applied from left to right; `none` is the empty chain."""

    choices: tuple[str, ...] = ()

    def canonical(self, value: Value) -> str:
        words = str(value).split("+")
        if words == ["none"] and self.default is not None:
            return "none"
        for word in words:
            if word not in self.choices:
                hint = nearest(word, self.choices)
                raise ValueError(f"words out of {', '.join(self.choices)} joined by +, not {word!r}{hint}")
        return "+".join(words)


@dataclass(frozen=True, slots=True)
class Shape(Parameter):
    """Extents joined by `x`, such as `1x64x56x56`."""

    def canonical(self, value: Value) -> str:
        return "x".join(str(_integer(part, 1)) for part in str(value).split("x"))


@dataclass(frozen=True, slots=True)
class Real(Parameter):
    """A positive real number, kept as the shortest text that gives it back."""

    def canonical(self, value: Value) -> str:
        try:
            number = float(value)
        except ValueError:
            number = -1.0
        if not 0 < number < float("inf"):
            raise ValueError("a positive number")
        return repr(number)


@dataclass(frozen=True, slots=True)
class Params:
    """Checked parameters of one workload, complete and in declaration order, with typed access."""

    operator: str
    items: tuple[tuple[str, Value], ...]

    def __getitem__(self, name: str) -> Value:
        for key, value in self.items:
            if key == name:
                return value
        raise KeyError(name)

    def integer(self, name: str) -> int:
        return int(self[name])

    def integers(self, *names: str) -> tuple[int, ...]:
        return tuple(self.integer(name) for name in names)

    def text(self, name: str) -> str:
        return str(self[name])

    def chain(self, name: str) -> tuple[str, ...]:
        text = self.text(name)
        return () if text == "none" else tuple(text.split("+"))

    def shape(self, name: str) -> tuple[int, ...]:
        return tuple(int(part) for part in self.text(name).split("x"))

    def per_dimension(self, name: str, dimensions: int) -> tuple[int, ...]:
        numbers = self.shape(name)
        return numbers * dimensions if len(numbers) == 1 else numbers

    def pads(self, dimensions: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """The `pad` parameter as (begins, ends)."""
        numbers = self.per_dimension("pad", dimensions)
        return (numbers, numbers) if len(numbers) == dimensions else (numbers[:dimensions], numbers[dimensions:])

    def error(self, message: str) -> UsageError:
        """An error that names the operator."""
        return UsageError(f"{self.operator}: {message}")


def complete(operator: str, declared: tuple[Parameter, ...], given: Mapping[str, Value]) -> Params:
    """Checks `given` against the declaration and fills in defaults.

    Raises `UsageError` for an unknown or missing parameter, or a value of the wrong kind.
    """
    names = [parameter.name for parameter in declared]
    for name in given:
        if name not in names:
            raise UsageError(f"{operator} has no parameter {name!r}{nearest(name, names)} (it has: {', '.join(names)})")
    missing = [p.name for p in declared if p.default is None and p.name not in given]
    if missing:
        sample = ",".join(f"{name}=..." for name in missing)
        raise UsageError(f"{operator} needs {', '.join(missing)}: add {sample} to '{operator}:...'")
    return Params(operator, tuple((p.name, _checked(operator, p, given.get(p.name, p.default))) for p in declared))


def _checked(operator: str, parameter: Parameter, value: Value | None) -> Value:
    if value is None or isinstance(value, bool):
        raise UsageError(f"{operator}: {parameter.name} expects a number or a word, got {value!r}")
    try:
        return parameter.canonical(value)
    except ValueError as error:
        raise UsageError(f"{operator}: {parameter.name} expects {error}, got {parameter.name}={value}") from None


def _integer(value: Value, minimum: int) -> int:
    expected = f"an integer from {minimum} to {MAX_SIZE}"
    text = str(value)
    if not text.isascii() or not text.lstrip("-").isdigit() or len(text) > 12:
        raise ValueError(expected)
    number = int(text)
    if not minimum <= number <= MAX_SIZE:
        raise ValueError(expected)
    return number
