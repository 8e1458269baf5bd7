"""Whole models for CPUs that are not the host; see `flextune.platforms.compiler.ModuleCompiler`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import tvm

from flextune.errors import BuildError
from flextune.native.toolchain import Toolchain
from flextune.platforms.cpu.cross.code_generation import compile_executable, write_kernels
from flextune.platforms.cpu.cross.machine import Machine
from flextune.platforms.cpu.cross.toolchain import library_toolchain
from flextune.target.target import Target


class CrossModuleCompiler:
    """TVM's LLVM back end, and Zig for what is in C."""

    def __init__(self, machine: Machine, described: Callable[[Target], tvm.target.Target]) -> None:
        self._machine, self._described = machine, described

    def compile(self, module: Any, target: Target, *, checked: bool = True) -> Any:
        return compile_executable(module, self._described(target), checked=checked)

    def write_object(self, module: Any, target: Target, path: Path) -> Path:
        return write_kernels(module, self._described(target), path)

    def write_library(self, executable: Any, path: Path) -> None:
        del executable
        raise BuildError(
            f"{path} would run on TVM's virtual machine, which is not there on {self._machine.name}; "
            "give dynamic inputs a --shape, or a --dim with its range"
        )

    def instructions(self, target: Target) -> tuple[str, ...]:
        """Of these this machine has none: it says for whom the code is."""
        del target
        return (self._machine.name,)

    def toolchain(self, target: Target) -> Toolchain:
        """See `flextune.platforms.compiler.CrossCompiler`."""
        del target
        return library_toolchain(self._machine)
