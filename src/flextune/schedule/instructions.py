"""Tensor intrinsics and LLVM code that a trace names, registered for the kind of targets whose instructions they are.

A trace from a file holds names only, and a name means something for the targets of one platform: elsewhere the same
trace is refused, where TVM, which keeps its intrinsics by name alone, would generate instructions of another processor.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from typing import Generic, TypeVar

from flextune.errors import ScheduleError
from flextune.target.target import Target

Value = TypeVar("Value")


def register_intrinsic(kind: str, name: str, feature: str, define: Callable[[], None]) -> None:
    """Let traces for targets of this kind that have `feature` use the tensor intrinsic `name`.

    `define` makes it known to TVM when the first trace does.
    """
    _INTRINSICS.entries[kind, name] = (feature, cache(define))


def register_code(kind: str, name: str, feature: str, llvm: str) -> None:
    """Let traces for targets of this kind that have `feature` import LLVM text by this name."""
    _CODE.entries[kind, name] = (feature, llvm)


def define_intrinsic(name: str, target: Target | None) -> None:
    """Make the intrinsic known to TVM; raises `ScheduleError` when the target does not have it."""
    _INTRINSICS.find(name, target)()


def imported_code(name: str, target: Target | None) -> str:
    """The LLVM text of that name; raises `ScheduleError` when the target does not have it."""
    return _CODE.find(name, target)


@dataclass(frozen=True, slots=True)
class _Instructions(Generic[Value]):
    """By kind of target and name: the feature that a target must have, and what is registered."""

    what: str
    entries: dict[tuple[str, str], tuple[str, Value]] = field(default_factory=dict)

    def find(self, name: str, target: Target | None) -> Value:
        if target is None:
            raise ScheduleError(f"the {self.what} {name!r} belongs to a platform, and the trace is for no target")
        if (target.kind, name) not in self.entries:
            known = ", ".join(each for kind, each in self.entries if kind == target.kind) or "none"
            raise ScheduleError(f"targets of kind {target.kind!r} have no {self.what} {name!r}; they have: {known}")
        feature, value = self.entries[target.kind, name]
        if not target.has(feature):
            raise ScheduleError(f"the {self.what} {name!r} needs {feature}, which {target} does not have")
        return value


_INTRINSICS: _Instructions[Callable[[], None]] = _Instructions("tensor intrinsic")
_CODE: _Instructions[str] = _Instructions("code")
