"""The Hexagon platform: the rules of all CPUs with vectors of 128 bytes and their dot products, for whole numbers."""

from __future__ import annotations

from functools import lru_cache

import tvm

from flextune.errors import UsageError
from flextune.once import once
from flextune.platforms.cpu.cross.code_generation import llvm_target
from flextune.platforms.cpu.cross.platform import CrossPlatform, Family
from flextune.platforms.cpu.cross.toolchain import link_bare_program
from flextune.platforms.cpu.dot_products import register_dot_product
from flextune.platforms.cpu.limits import CpuLimits, DotIntrinsic
from flextune.platforms.cpu.space import cpu_space
from flextune.platforms.hexagon.kind import MACHINE, VECTOR_REGISTERS, emulated_cpu, llvm_attributes
from flextune.schedule.space import SearchSpace
from flextune.target.target import Target
from flextune.workload.workload import Workload

VRMPY_U8S8 = DotIntrinsic("flextune.vrmpy_u8s8", "uint8", "int8", "int32", lanes=32, group=4)
VRMPY_S8S8 = DotIntrinsic("flextune.vrmpy_s8s8", "int8", "int8", "int32", lanes=32, group=4)
"""VRMPY, four products in each of 32 lanes, of unsigned or signed bytes with signed ones."""

_KEPT_SPACES = 1024


@once
def register_intrinsics() -> None:
    """Needed before a trace that names an intrinsic is applied."""
    register_dot_product("hexagon", VRMPY_U8S8, "hvx", "llvm.hexagon.V6.vrmpybusv.acc.128B", of_words=True)
    register_dot_product("hexagon", VRMPY_S8S8, "hvx", "llvm.hexagon.V6.vrmpybv.acc.128B", of_words=True)


@lru_cache(_KEPT_SPACES)
def generate_space(workload: Workload, target: Target) -> SearchSpace:
    """The space of schedules of `workload` on `target`. UsageError where it computes with floating point."""
    floats = [spec.name for spec in (*workload.inputs, *workload.outputs) if spec.element.is_float]
    if floats:
        raise UsageError(
            f"{workload} has floating point ({', '.join(floats)}), of which HVX before v68 has none: "
            "for Hexagon take dtype=int8 or dtype=uint8"
        )
    register_intrinsics()
    intrinsics = (VRMPY_U8S8, VRMPY_S8S8) if target.has("hvx") else ()
    return cpu_space(workload, target, CpuLimits.of(target, VECTOR_REGISTERS, intrinsics, memory_operands=False))


def tvm_target(target: Target) -> tvm.target.Target:
    """TVM's form of the target."""
    return llvm_target(MACHINE.triple, target.word("cpu"), llvm_attributes(target), target.cores)


class HexagonPlatform(CrossPlatform):
    """TVM knows this folder's intrinsics once there is one."""

    def __init__(self) -> None:
        register_intrinsics()
        super().__init__("hexagon", Family(MACHINE, tvm_target, generate_space, emulated_cpu, link_bare_program))
