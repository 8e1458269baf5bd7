"""Tensor intrinsics of x86: dot products of neighbours along the reduction, 16 lanes at once.

`vnni_u8s8`: VPDPBUSD (AVX512-VNNI), four u8 x s8 products a lane. `bf16_pairs`: VDPBF16PS (AVX512-BF16), two products
a lane; TVM widens bfloat16 buffers to float32, so they are stored as uint16 and the instruction is reached
through a small LLVM function that is inlined.
"""

# mypy: disable-error-code="valid-type, untyped-decorator, no-untyped-def, no-untyped-call"
# The script parser reads the annotations of these functions as types of TIR.

from __future__ import annotations

from tvm.s_tir import TensorIntrin
from tvm.script import tirx as T  # noqa: N812  # the name that the script parser knows

from flextune.once import once
from flextune.platforms.cpu.attention.pairs import CODE, DOT_FUNCTION
from flextune.platforms.cpu.limits import DotIntrinsic
from flextune.schedule.instructions import register_code, register_intrinsic
from flextune.target.target import Target

VNNI = DotIntrinsic("flextune.vnni_u8s8", "uint8", "int8", "int32", lanes=16, group=4)
BF16 = DotIntrinsic("flextune.bf16_pairs", "uint16", "uint16", "float32", lanes=16, group=2, code=CODE)

_BF16_LLVM = f"""
define <16 x float> @{DOT_FUNCTION}(<16 x float> %sum, i32 %pair, <16 x i32> %weights) alwaysinline nounwind {{
  %one = insertelement <16 x i32> poison, i32 %pair, i32 0
  %all = shufflevector <16 x i32> %one, <16 x i32> poison, <16 x i32> zeroinitializer
  %left = bitcast <16 x i32> %all to <32 x bfloat>
  %right = bitcast <16 x i32> %weights to <32 x bfloat>
  %result = call <16 x float> @llvm.x86.avx512bf16.dpbf16ps.512(
    <16 x float> %sum, <32 x bfloat> %left, <32 x bfloat> %right)
  ret <16 x float> %result
}}
declare <16 x float> @llvm.x86.avx512bf16.dpbf16ps.512(<16 x float>, <32 x bfloat>, <32 x bfloat>)
"""


def available_intrinsics(target: Target) -> tuple[DotIntrinsic, ...]:
    """The intrinsics that a target has."""
    return (*((VNNI,) if target.has("vnni") else ()), *((BF16,) if target.has("bf16") else ()))


@once
def register_intrinsics() -> None:
    """Needed before a trace that names an intrinsic is applied. Their programs are parsed when one is, not before."""
    register_code("x86", CODE, "bf16", _BF16_LLVM)
    register_intrinsic(
        "x86", VNNI.name, "vnni", lambda: TensorIntrin.register(VNNI.name, _vnni_pattern(), _vnni_code())
    )
    register_intrinsic(
        "x86", BF16.name, "bf16", lambda: TensorIntrin.register(BF16.name, _bf16_pattern(), _bf16_code())
    )


def _vnni_pattern():
    @T.prim_func(s_tir=True)
    def pattern(
        a: T.Buffer((4,), "uint8", offset_factor=1),
        b: T.Buffer((16, 4), "int8", offset_factor=1),
        c: T.Buffer((16,), "int32", offset_factor=1, scope="local"),
    ) -> None:
        with T.sblock("root"):
            T.reads(c[0:16], a[0:4], b[0:16, 0:4])
            T.writes(c[0:16])
            for i in T.serial(0, 16):
                for k in T.serial(0, 4):
                    with T.sblock("update"):
                        vi, vk = T.axis.remap("SR", [i, k])
                        c[vi] = c[vi] + T.cast(a[vk], "int32") * T.cast(b[vi, vk], "int32")

    return pattern


def _vnni_code():
    @T.prim_func(s_tir=True)
    def code(
        a: T.Buffer((4,), "uint8", offset_factor=1),
        b: T.Buffer((16, 4), "int8", offset_factor=1),
        c: T.Buffer((16,), "int32", offset_factor=1, scope="local"),
    ) -> None:
        with T.sblock("root"):
            T.reads(c[0:16], a[0:4], b[0:16, 0:4])
            T.writes(c[0:16])
            c[T.ramp(T.int32(0), 1, 16)] = T.call_llvm_pure_intrin(
                T.llvm_lookup_intrinsic_id("llvm.x86.avx512.vpdpbusd.512"),
                c.vload([0], dtype="int32x16"),
                T.reinterpret(T.broadcast(T.reinterpret(a.vload([0], "uint8x4"), dtype="int32"), 16), dtype="uint8x64"),
                b.vload([0, 0], dtype="int8x64"),
                dtype="int32x16",
            )

    return code


def _bf16_pattern():
    @T.prim_func(s_tir=True)
    def pattern(
        a: T.Buffer((2,), "uint16", offset_factor=1),
        b: T.Buffer((16, 2), "uint16", offset_factor=1),
        c: T.Buffer((16,), "float32", offset_factor=1, scope="local"),
    ) -> None:
        with T.sblock("root"):
            T.reads(c[0:16], a[0:2], b[0:16, 0:2])
            T.writes(c[0:16])
            for i in T.serial(0, 16):
                for k in T.serial(0, 2):
                    with T.sblock("update"):
                        vi, vk = T.axis.remap("SR", [i, k])
                        c[vi] = c[vi] + T.reinterpret(
                            T.shift_left(T.cast(a[vk], "uint32"), T.uint32(16)), dtype="float32"
                        ) * T.reinterpret(T.shift_left(T.cast(b[vi, vk], "uint32"), T.uint32(16)), dtype="float32")

    return pattern


def _bf16_code():
    @T.prim_func(s_tir=True)
    def code(
        a: T.Buffer((2,), "uint16", offset_factor=1),
        b: T.Buffer((16, 2), "uint16", offset_factor=1),
        c: T.Buffer((16,), "float32", offset_factor=1, scope="local"),
    ) -> None:
        with T.sblock("root"):
            T.reads(c[0:16], a[0:2], b[0:16, 0:2])
            T.writes(c[0:16])
            c[T.ramp(T.int32(0), 1, 16)] = T.call_pure_extern(
                "float32x16",
                "flextune_dpbf16ps",
                c.vload([0], dtype="float32x16"),
                T.reinterpret(a.vload([0], "uint16x2"), dtype="int32"),
                T.reinterpret(b.vload([0, 0], dtype="uint16x32"), dtype="int32x16"),
            )

    return code
