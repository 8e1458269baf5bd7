"""How a hardware family compiles whole modules: a model's kernels, and the code that calls them."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from flextune.native.toolchain import Toolchain
from flextune.target.target import Target


class ModuleCompiler(Protocol):
    """From TVM modules to machine code for one kind of target.

    Separate from `Platform`, which schedules kernels: a family may have kernels of its own and no compiler for whole
    models. `flextune.platforms.platform_registry.compiler(kind)` finds one.
    """

    def compile(self, module: Any, target: Target, *, checked: bool = True) -> Any:
        """TVM's executable of an `IRModule` (or one PrimFunc); its `jit()` is the runtime module.

        Without `checked`, functions take their arguments for right: the code that checks their shapes and types is as
        long as a small kernel. RuntimeError where TVM cannot compile it.
        """
        ...

    def write_object(self, module: Any, target: Target, path: Path) -> Path:
        """Write the functions of an `IRModule`, unchecked, as one object file; returns its path."""
        ...

    def write_library(self, executable: Any, path: Path) -> None:
        """Link what `compile` returned into a shared library.

        Raises `EnvironmentFault` when there is no linker, `BuildError` when it fails.
        """
        ...

    def instructions(self, target: Target) -> tuple[str, ...]:
        """Names of the instruction sets that code for the target may use, sorted: what is checked before it is run."""
        ...


@runtime_checkable
class CrossCompiler(Protocol):
    """What a `ModuleCompiler` has as well whose targets are other machines than this one."""

    def toolchain(self, target: Target) -> Toolchain:
        """The C compiler and linker for the target. EnvironmentFault, with what installs it, where there is none."""
        ...


def toolchain_for(compiler: ModuleCompiler, target: Target) -> Toolchain | None:
    """The C compiler for what a compiler makes; None where that is whatever this machine has for itself."""
    return compiler.toolchain(target) if isinstance(compiler, CrossCompiler) else None
