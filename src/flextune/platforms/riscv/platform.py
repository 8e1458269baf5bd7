"""The RISC-V platform: the rules of all CPUs with vectors of a fixed length, in static programs."""

from __future__ import annotations

from functools import lru_cache

import tvm

from flextune.platforms.cpu.cross.compiler import CrossModuleCompiler
from flextune.platforms.cpu.cross.platform import CrossPlatform, Family
from flextune.platforms.cpu.limits import CpuLimits
from flextune.platforms.cpu.space import cpu_space
from flextune.platforms.riscv.kind import MACHINE, VECTOR_REGISTERS, emulated_cpu, llvm_attributes
from flextune.schedule.space import SearchSpace
from flextune.target.target import Target
from flextune.workload.workload import Workload

_KEPT_SPACES = 1024


@lru_cache(_KEPT_SPACES)
def generate_space(workload: Workload, target: Target) -> SearchSpace:
    """The space of schedules of `workload` on `target`, kept for the next who asks."""
    return cpu_space(workload, target, CpuLimits.of(target, VECTOR_REGISTERS, memory_operands=False))


def tvm_target(target: Target) -> tvm.target.Target:
    """TVM's form of the target: LLVM for RV64GC with vectors of this length.

    LLVM's names of processors bring `+v` with them (see `llvm_attributes`), so code is for none in particular.
    """
    return tvm.target.Target(
        {
            "kind": "llvm",
            "mtriple": MACHINE.triple,
            "mcpu": "generic-rv64",
            "mabi": "lp64d",
            "mattr": list(llvm_attributes(target)),
            "num-cores": target.cores,
            "opt-level": 2,
        }
    )


class RiscvPlatform(CrossPlatform):
    """Programs run in an emulator with vectors of the target's length."""

    def __init__(self) -> None:
        super().__init__("riscv", Family(MACHINE, tvm_target, generate_space, emulated_cpu))


class RiscvCompiler(CrossModuleCompiler):
    """See `flextune.platforms.compiler.ModuleCompiler`."""

    def __init__(self) -> None:
        super().__init__(MACHINE, tvm_target)
