"""Platforms by name: name -> lazy factory, so that naming a platform loads nothing."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from importlib import import_module

from flextune.errors import UsageError
from flextune.platforms.base import Platform

Factory = Callable[[], Platform]


class Registry:
    """Factories by name; each platform is made once, when it is first asked for."""

    def __init__(self) -> None:
        self._factories: dict[str, Factory] = {}
        self._made: dict[str, Platform] = {}

    def register(self, name: str, factory: Factory) -> None:
        """Add a platform. Raises `UsageError` when the name is taken."""
        if name in self._factories:
            raise UsageError(f"a platform named {name!r} is registered already; choose another name")
        self._factories[name] = factory

    def get(self, name: str) -> Platform:
        """The platform for targets of this kind. Raises `UsageError` with the nearest name when there is none."""
        if name not in self._factories:
            close = difflib.get_close_matches(name, self._factories, 1)
            hint = f"did you mean {close[0]!r}? " if close else ""
            raise UsageError(f"unknown platform {name!r}; {hint}known: {', '.join(self.names())}")
        if name not in self._made:
            self._made[name] = self._factories[name]()
        return self._made[name]

    def names(self) -> tuple[str, ...]:
        """All registered names, sorted."""
        return tuple(sorted(self._factories))


def _from_module(module: str, attribute: str) -> Factory:
    def make() -> Platform:
        platform: Platform = getattr(import_module(module), attribute)()
        return platform

    return make


_platforms = Registry()
_platforms.register("x86", _from_module("flextune.platforms.x86.platform", "X86Platform"))
_platforms.register("null", _from_module("flextune.platforms.null.platform", "NullPlatform"))

register = _platforms.register
get = _platforms.get
names = _platforms.names
