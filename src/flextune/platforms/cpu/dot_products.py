"""Tensor intrinsics for dot products of bytes that several families have: `lanes` sums of `group` products each.

c[i] = c[i] + a[0] * b[i, 0] + ... + a[group - 1] * b[i, group - 1]    for all lanes i at once
"""

# mypy: disable-error-code="valid-type, untyped-decorator, no-untyped-def, no-untyped-call"
# The script parser reads the annotations of these functions as types of TIR.

from __future__ import annotations

from tvm.s_tir import TensorIntrin
from tvm.script import tirx as T  # noqa: N812  # the name that the script parser knows

from flextune.platforms.cpu.limits import DotIntrinsic
from flextune.schedule.instructions import register_intrinsic


def register_dot_product(kind: str, dot: DotIntrinsic, feature: str, llvm: str, *, of_words: bool = False) -> None:
    """Let traces for targets of this kind use `dot`, which is LLVM's intrinsic of that name.

    Its operands are the sums and two vectors of bytes; with `of_words` the vectors are declared as 32-bit words.
    """
    register_intrinsic(
        kind, dot.name, feature, lambda: TensorIntrin.register(dot.name, _pattern(dot), _code(dot, llvm, of_words))
    )


def _pattern(dot: DotIntrinsic):
    lanes, group, data, weight, total = dot.lanes, dot.group, dot.data_dtype, dot.weight_dtype, dot.accumulator_dtype

    @T.prim_func(s_tir=True)
    def pattern(a: T.handle, b: T.handle, c: T.handle) -> None:
        A = T.match_buffer(a, (group,), data, offset_factor=1)
        B = T.match_buffer(b, (lanes, group), weight, offset_factor=1)
        C = T.match_buffer(c, (lanes,), total, offset_factor=1, scope="local")
        with T.sblock("root"):
            T.reads(C[0:lanes], A[0:group], B[0:lanes, 0:group])
            T.writes(C[0:lanes])
            for i in T.serial(0, lanes):
                for k in T.serial(0, group):
                    with T.sblock("update"):
                        vi, vk = T.axis.remap("SR", [i, k])
                        C[vi] = C[vi] + T.cast(A[vk], total) * T.cast(B[vi, vk], total)

    return pattern


def _code(dot: DotIntrinsic, llvm: str, of_words: bool):
    lanes, group, data, weight, total = dot.lanes, dot.group, dot.data_dtype, dot.weight_dtype, dot.accumulator_dtype
    sums, part, right = f"{total}x{lanes}", f"{data}x{group}", f"{weight}x{lanes * group}"
    left_type, right_type = (sums, sums) if of_words else (f"{data}x{lanes * group}", right)

    @T.prim_func(s_tir=True)
    def code(a: T.handle, b: T.handle, c: T.handle) -> None:
        A = T.match_buffer(a, (group,), data, offset_factor=1)
        B = T.match_buffer(b, (lanes, group), weight, offset_factor=1)
        C = T.match_buffer(c, (lanes,), total, offset_factor=1, scope="local")
        with T.sblock("root"):
            T.reads(C[0:lanes], A[0:group], B[0:lanes, 0:group])
            T.writes(C[0:lanes])
            C[T.ramp(T.int32(0), 1, lanes)] = T.call_llvm_pure_intrin(
                T.llvm_lookup_intrinsic_id(llvm),
                C.vload([0], dtype=sums),
                T.reinterpret(T.broadcast(T.reinterpret(A.vload([0], part), dtype="int32"), lanes), dtype=left_type),
                T.reinterpret(B.vload([0, 0], dtype=right), dtype=right_type),
                dtype=sums,
            )

    return code
