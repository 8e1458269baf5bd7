"""Options of strategies and cost models: frozen values, made from text at the edge."""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, TypeVar

from flextune.errors import UsageError
from flextune.registry import nearest

T = TypeVar("T", bound="Options")
V = TypeVar("V", bool, int, float, str)
Value = bool | int | float | str


@dataclass(frozen=True, slots=True)
class Limits:
    """The closed range of a number, or the words an option may be."""

    low: float | None = None
    high: float | None = None
    choices: tuple[str, ...] = ()

    def admits(self, value: Value) -> bool:
        if isinstance(value, str):
            return not self.choices or value in self.choices
        return (self.low is None or value >= self.low) and (self.high is None or value <= self.high)

    def __str__(self) -> str:
        if self.choices:
            return f"one of {', '.join(self.choices)}"
        if self.high is None:
            return f"at least {self.low}" if self.low is not None else "any value"
        return f"from {self.low} to {self.high}"


_UNLIMITED = Limits()


def option(default: V, low: float | None = None, high: float | None = None, choices: tuple[str, ...] = ()) -> V:
    """A field of an options class: its default and what it may be."""
    return dataclasses.field(default=default, metadata={"limits": Limits(low, high, choices)})


@dataclass(frozen=True, slots=True)
class Options:
    """Base of options that users may give as text; by itself, no options at all. Messages call them `term`.

    A subclass is a frozen dataclass of `bool`, `int`, `float` and `str` fields, each with a default, made by `option`.
    """

    term: ClassVar[str] = "option"

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            value, limits = getattr(self, field.name), _limits(field)
            if not limits.admits(value):
                raise UsageError(f"{self.term} {field.name}: expected {limits}, got {value}")

    @classmethod
    def parse(cls: type[T], texts: Mapping[str, str]) -> T:
        """From `{"population": "100"}`. Raises `UsageError` for an unknown name or a value that is not allowed."""
        types = _types(cls)
        return cls(**{name: _value(cls.term, name, types, text) for name, text in texts.items()})

    @classmethod
    def described(cls) -> tuple[OptionText, ...]:
        """Name, type, default and limits of every option, to be listed."""
        types = _types(cls)
        return tuple(
            OptionText(field.name, types[field.name].__name__, str(field.default), str(_limits(field)))
            for field in dataclasses.fields(cls)
        )

    def __str__(self) -> str:
        return ",".join(f"{field.name}={getattr(self, field.name)}" for field in dataclasses.fields(self))


@dataclass(frozen=True, slots=True)
class OptionText:
    """One option as text, for listings."""

    name: str
    type: str
    default: str
    limits: str


def _types(options: type[Options]) -> dict[str, type]:
    hints = typing.get_type_hints(options)
    return {field.name: hints[field.name] for field in dataclasses.fields(options)}


def _limits(field: dataclasses.Field[Value]) -> Limits:
    limits = field.metadata.get("limits", _UNLIMITED)
    assert isinstance(limits, Limits)
    return limits


_WORDS = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}


def _value(term: str, name: str, types: Mapping[str, type], text: str) -> Value:
    if name not in types:
        raise UsageError(f"unknown {term} {name!r}: {nearest(name, tuple(types))}")
    wanted = types[name]
    try:
        return _WORDS[text.lower()] if wanted is bool else wanted(text)
    except (KeyError, ValueError):
        raise UsageError(f"{term} {name}: expected {_ARTICLE[wanted]}, got {text!r}") from None


_ARTICLE = {bool: "true or false", int: "a whole number", float: "a number", str: "a word"}
