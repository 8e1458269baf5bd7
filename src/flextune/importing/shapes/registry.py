"""Operator → the rule that gives its results' shapes, and values where it can."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from importlib import import_module
from typing import TypeVar

from flextune.errors import UsageError
from flextune.importing.shapes.call import Rule

_FAMILIES = (
    "control", "data", "elementwise", "layers", "movement", "products", "quantized", "reductions", "resizing",
    "sequences", "signals", "sizes", "slicing", "windows",
)  # fmt: skip
_AnyRule = TypeVar("_AnyRule", bound=Rule)
_RULES: dict[tuple[str, str], Rule] = {}


def shape_rule(*operators: str, domain: str = "") -> Callable[[_AnyRule], _AnyRule]:
    """Register a function as the rule of these operators. UsageError where one has a rule already."""

    def register(rule: _AnyRule) -> _AnyRule:
        for name in operators:
            if (domain, name) in _RULES:
                raise UsageError(f"operator {name!r} has a shape rule already")
            _RULES[domain, name] = rule
        return rule

    return register


def find_rule(domain: str, operator: str) -> Rule | None:
    """The rule of an operator, if there is one."""
    _load_families()
    return _RULES.get(("" if domain == "ai.onnx" else domain, operator))


@cache
def _load_families() -> None:
    for family in _FAMILIES:
        import_module(f"flextune.importing.shapes.rules.{family}")
