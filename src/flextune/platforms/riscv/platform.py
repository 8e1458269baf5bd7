"""The RISC-V platform: the rules of all CPUs with vectors of a fixed length, in static programs."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

import tvm

from flextune.errors import BuildError, UsageError
from flextune.platforms.cpu.cross.code_generation import llvm_target
from flextune.platforms.cpu.cross.compiler import CrossModuleCompiler
from flextune.platforms.cpu.cross.platform import CrossPlatform, Family
from flextune.platforms.cpu.limits import CpuLimits
from flextune.platforms.cpu.space import cpu_space
from flextune.platforms.riscv.kind import MACHINE, VECTOR_REGISTERS, emulated_cpu, llvm_attributes
from flextune.schedule.space import SearchSpace
from flextune.target.target import Target
from flextune.tvm_types import PrimFunc
from flextune.workload.workload import Workload

_KEPT_SPACES = 1024

_NO_HALF = "which code for RISC-V passes on in another form than the functions that convert it expect: take float32"


@lru_cache(_KEPT_SPACES)
def generate_space(workload: Workload, target: Target) -> SearchSpace:
    """The space of schedules of `workload` on `target`, kept for the next who asks. UsageError where it has float16."""
    if _has_half(workload.prim_func()):
        raise UsageError(f"{workload} has float16, {_NO_HALF}")
    return cpu_space(workload, target, CpuLimits.of(target, VECTOR_REGISTERS, memory_operands=False))


def tvm_target(target: Target) -> tvm.target.Target:
    """TVM's form of the target: LLVM for RV64GC with vectors of this length.

    LLVM's names of processors bring `+v` with them (see `llvm_attributes`), so code is for none in particular.
    """
    return llvm_target(MACHINE.triple, "generic-rv64", llvm_attributes(target), target.cores, abi="lp64d")


class RiscvPlatform(CrossPlatform):
    """Programs run in an emulator with vectors of the target's length."""

    def __init__(self) -> None:
        super().__init__("riscv", Family(MACHINE, tvm_target, generate_space, emulated_cpu))


class RiscvCompiler(CrossModuleCompiler):
    """See `flextune.platforms.compiler.ModuleCompiler`. BuildError for functions with float16."""

    def __init__(self) -> None:
        super().__init__(MACHINE, tvm_target)

    def write_object(self, module: Any, target: Target, path: Path) -> Path:
        for variable, function in module.functions_items():
            if _has_half(function):
                raise BuildError(f"{variable.name_hint} has float16, {_NO_HALF}")
        return super().write_object(module, target, path)


def _has_half(function: PrimFunc) -> bool:
    """Whether a program has half precision anywhere, if only inside."""
    return "float16" in function.script().replace("bfloat16", "")
