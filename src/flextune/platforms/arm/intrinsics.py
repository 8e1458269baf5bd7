"""Tensor intrinsics of Arm: SDOT (`dotprod`) on signed bytes, USDOT (`i8mm`) on unsigned ones and signed weights."""

from __future__ import annotations

from flextune.once import once
from flextune.platforms.cpu.dot_products import register_dot_product
from flextune.platforms.cpu.limits import DotIntrinsic
from flextune.target.target import Target

SDOT = DotIntrinsic("flextune.sdot_s8s8", "int8", "int8", "int32", lanes=4, group=4)
USDOT = DotIntrinsic("flextune.usdot_u8s8", "uint8", "int8", "int32", lanes=4, group=4)


def available_intrinsics(target: Target) -> tuple[DotIntrinsic, ...]:
    """The intrinsics that a target has."""
    return (*((SDOT,) if target.has("dotprod") else ()), *((USDOT,) if target.has("i8mm") else ()))


@once
def register_intrinsics() -> None:
    """Needed before a trace that names an intrinsic is applied. Their programs are parsed when one is, not before."""
    register_dot_product("arm", SDOT, "dotprod", "llvm.aarch64.neon.sdot.v4i32.v16i8")
    register_dot_product("arm", USDOT, "i8mm", "llvm.aarch64.neon.usdot.v4i32.v16i8")
