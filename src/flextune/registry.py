"""Named, lazily loaded implementations: strategies, cost models, and what users add to them."""

from __future__ import annotations

import difflib
from importlib import import_module
from typing import Generic, TypeVar, cast

from flextune.errors import UsageError

T = TypeVar("T")


def nearest(name: str, known: tuple[str, ...]) -> str:
    """End of a message about a misspelt name: the names there are, and the nearest one."""
    close = difflib.get_close_matches(name, known, 1)
    hint = f"; did you mean {close[0]!r}?" if close else ""
    return f"expected {'one of ' if len(known) > 1 else ''}{', '.join(known) or 'none'}{hint}"


class Registry(Generic[T]):
    """From a name to an object of one kind, as such or as `module:attribute`, imported at its first use."""

    def __init__(self, kind: str, entries: dict[str, T | str]) -> None:
        self._kind = kind
        self._entries = dict(entries)

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self._entries)

    def register(self, name: str, entry: T | str) -> None:
        """Add an entry. Raises `UsageError` when the name is taken."""
        if name in self._entries:
            raise UsageError(f"{self._kind} {name!r} is registered already; choose another name")
        self._entries[name] = entry

    def get(self, name: str) -> T:
        """The entry of this name. Raises `UsageError` with the nearest name when there is none."""
        if name not in self._entries:
            raise UsageError(f"unknown {self._kind} {name!r}: {nearest(name, self.names)}")
        entry = self._entries[name]
        if isinstance(entry, str):
            module, _, attribute = entry.partition(":")
            entry = cast(T, getattr(import_module(module), attribute))
        return entry
