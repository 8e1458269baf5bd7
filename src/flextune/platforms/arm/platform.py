"""The Arm platform: the rules of all CPUs with Arm's limits and intrinsics, in static programs."""

from __future__ import annotations

from functools import lru_cache

import tvm

from flextune.platforms.arm.intrinsics import available_intrinsics, register_intrinsics
from flextune.platforms.arm.kind import MACHINE, VECTOR_REGISTERS, emulated_cpu, llvm_attributes
from flextune.platforms.cpu.cross.code_generation import llvm_target
from flextune.platforms.cpu.cross.compiler import CrossModuleCompiler
from flextune.platforms.cpu.cross.platform import CrossPlatform, Family
from flextune.platforms.cpu.limits import CpuLimits
from flextune.platforms.cpu.space import cpu_space
from flextune.schedule.space import SearchSpace
from flextune.target.target import Target
from flextune.workload.workload import Workload

_KEPT_SPACES = 1024


@lru_cache(_KEPT_SPACES)
def generate_space(workload: Workload, target: Target) -> SearchSpace:
    """The space of schedules of `workload` on `target`, kept for the next who asks."""
    register_intrinsics()
    intrinsics = available_intrinsics(target)
    limits = CpuLimits.of(target, VECTOR_REGISTERS, intrinsics, memory_operands=False, interleaved_stores=True)
    return cpu_space(workload, target, limits)


def tvm_target(target: Target) -> tvm.target.Target:
    """TVM's form of the target: LLVM for exactly this processor and these features."""
    return llvm_target(MACHINE.triple, target.word("cpu"), llvm_attributes(target), target.cores)


class ArmPlatform(CrossPlatform):
    """TVM knows this folder's intrinsics once there is one."""

    def __init__(self) -> None:
        register_intrinsics()
        super().__init__("arm", Family(MACHINE, tvm_target, generate_space, emulated_cpu))


class ArmCompiler(CrossModuleCompiler):
    """See `flextune.platforms.compiler.ModuleCompiler`."""

    def __init__(self) -> None:
        super().__init__(MACHINE, tvm_target)
