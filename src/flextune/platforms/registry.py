"""Platforms and their compilers by name: name -> lazy factory, so that naming a platform loads nothing."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Generic, TypeVar, cast

from flextune.errors import UsageError
from flextune.platforms.base import Platform
from flextune.platforms.compiler import ModuleCompiler
from flextune.registry import nearest

T = TypeVar("T")
Factory = Callable[[], T] | str
"""What makes an object: a callable, or where it is, as `module:attribute`."""


class Registry(Generic[T]):
    """Factories by name; each object is made once, when it is first asked for."""

    def __init__(self, what: str = "platform") -> None:
        self._what = what
        self._factories: dict[str, Factory[T]] = {}
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

    def names(self) -> tuple[str, ...]:
        """All registered names, sorted."""
        return tuple(sorted(self._factories))


def _callable(factory: Factory[T]) -> Callable[[], T]:
    if not isinstance(factory, str):
        return factory
    module, _, attribute = factory.partition(":")
    return cast("Callable[[], T]", getattr(import_module(module), attribute))


_platforms: Registry[Platform] = Registry()
_compilers: Registry[ModuleCompiler] = Registry("compiler of whole modules")


def register(name: str, platform: Factory[Platform], compiler: Factory[ModuleCompiler] | None = None) -> None:
    """Add a platform, with what compiles whole modules for it where it has that."""
    _platforms.register(name, platform)
    if compiler is not None:
        _compilers.register(name, compiler)


register("x86", "flextune.platforms.x86.platform:X86Platform", "flextune.platforms.x86.compiler:X86Compiler")
register("null", "flextune.platforms.null.platform:NullPlatform")

get = _platforms.get
names = _platforms.names
compiler = _compilers.get
