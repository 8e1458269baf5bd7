"""Platforms and their compilers by name: name -> lazy factory, so that naming a platform loads nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Generic, TypeVar, cast

from flextune.errors import UsageError
from flextune.platforms.base import Platform
from flextune.platforms.builtin import COMPILERS, LIBRARIES, PLATFORMS
from flextune.platforms.compiler import ModuleCompiler
from flextune.registry import nearest
from flextune.target import kinds
from flextune.target.kind import TargetKind

T = TypeVar("T")
Factory = Callable[[], T] | str
"""What makes an object: a callable, or where it is, as `module:attribute`."""


class Registry(Generic[T]):
    """Factories by name; each object is made once, when it is first asked for."""

    def __init__(self, what: str = "platform", factories: Mapping[str, Factory[T]] | None = None) -> None:
        self._what = what
        self._factories: dict[str, Factory[T]] = dict(factories or {})
        self._made: dict[str, T] = {}

    def register(self, name: str, factory: Factory[T]) -> None:
        """Add a factory. Raises `UsageError` when the name is taken."""
        if name in self._factories:
            raise UsageError(f"a {self._what} named {name!r} is registered already; choose another name")
        self._factories[name] = factory

    def get(self, name: str) -> T:
        """What is there for targets of this kind. Raises `UsageError` with the nearest name when there is nothing."""
        if name not in self._factories:
            raise UsageError(f"unknown {self._what} {name!r}: {nearest(name, self.names())}")
        if name not in self._made:
            self._made[name] = _callable(self._factories[name])()
        return self._made[name]

    def loaded(self) -> tuple[str, ...]:
        """The names of what has been made in this process, sorted."""
        return tuple(sorted(self._made))

    def names(self) -> tuple[str, ...]:
        """All registered names, sorted."""
        return tuple(sorted(self._factories))


def _callable(factory: Factory[T]) -> Callable[[], T]:
    if not isinstance(factory, str):
        return factory
    module, _, attribute = factory.partition(":")
    return cast("Callable[[], T]", getattr(import_module(module), attribute))


_platforms: Registry[Platform] = Registry("platform", PLATFORMS)
_compilers: Registry[ModuleCompiler] = Registry("compiler of whole modules", COMPILERS)


def register(
    name: str,
    platform: Factory[Platform],
    kind: TargetKind | str,
    compiler: Factory[ModuleCompiler] | None = None,
) -> None:
    """Add a hardware family: its platform, the kind of its targets, and what compiles whole modules where it has that.

    Raises `UsageError` when the name is taken. An installed package is found by the entry point of its kind's name
    (`flextune.target.kinds.ENTRY_POINTS`), in every process.
    """
    _platforms.register(name, platform)
    kinds.register(name, kind)
    if compiler is not None:
        _compilers.register(name, compiler)


def get(name: str) -> Platform:
    """The platform for targets of this kind. Raises `UsageError` with the nearest name when there is none."""
    kinds.find(name)
    return _platforms.get(name)


def compiler(name: str) -> ModuleCompiler:
    """What compiles whole modules for targets of this kind. Raises `UsageError` where it has nothing for that."""
    kinds.find(name)
    return _compilers.get(name)


def libraries(name: str) -> tuple[str, ...]:
    """Modules that a platform needs and that are no part of it: a process may load them before it has the platform."""
    return LIBRARIES.get(name, ())


names = _platforms.names
loaded = _platforms.loaded
