"""Whole modules for x86; see `flextune.platforms.compiler.ModuleCompiler`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tvm.target import codegen

from flextune.platforms.cpu.object_file import write_object
from flextune.platforms.x86.code_generation import compile_executable, export_library, tvm_target
from flextune.target.target import Target

INSTRUCTION_FEATURES = ("sse", "ssse", "avx", "fma", "bmi", "f16c", "amx", "vaes", "vpclmul", "gfni", "lzcnt", "popcnt")
"""Prefixes of LLVM's names for features that stand for instructions, not for tuning."""


class X86Compiler:
    """TVM's LLVM back end, and the linker at hand."""

    def compile(self, module: Any, target: Target, *, checked: bool = True) -> Any:
        return compile_executable(module, target, checked=checked)

    def write_object(self, module: Any, target: Target, path: Path) -> Path:
        executable = compile_executable(module, target, checked=False)
        (objects,) = executable.mod._collect_dso_modules()
        write_object(objects, path)
        return path

    def write_library(self, executable: Any, path: Path) -> None:
        export_library(executable, path)

    def instructions(self, target: Target) -> tuple[str, ...]:
        features: Any = codegen.llvm_get_cpu_features(tvm_target(target))
        return instructions_among(tuple(map(str, features)))


def instructions_among(features: tuple[str, ...]) -> tuple[str, ...]:
    """Those of LLVM's feature names that stand for instructions, sorted."""
    return tuple(sorted(name for name in features if name.startswith(INSTRUCTION_FEATURES)))
