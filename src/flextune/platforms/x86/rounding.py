"""Rounding to bfloat16 by VCVTNEPS2BF16 (AVX512-BF16), one instruction in place of eight.

Only models in bfloat16 round, and they are refused for a processor without the instruction
(`flextune.lowering.precision.precision.Precision.check`).
"""

from __future__ import annotations

from functools import cache
from typing import Any

from tvm import tirx

from flextune.workload.rounding import ROUND, STORAGE, by_bits, register_rounding

_INSTRUCTIONS = {
    "x16": "llvm.x86.avx512bf16.cvtneps2bf16.512",
    "x8": "llvm.x86.avx512bf16.cvtneps2bf16.256",
}
"""LLVM's names by the lanes of a vector; other vectors are rounded by arithmetic on their bits."""

Expression = Any


@cache
def register_fast_rounding() -> None:
    """From now on TVM's LLVM back end rounds vectors by the instruction."""
    register_rounding()
    tirx.op.register_intrin_lowering(ROUND, "llvm", f=_lowered)


def _lowered(call: Expression) -> Expression:
    value = call.args[0]
    lanes = str(value.ty).removeprefix("float32")
    if lanes not in _INSTRUCTIONS:
        return by_bits(call)
    # TVM has no vectors of LLVM's bfloat; declared as int16 they are what they are in memory.
    halves = tirx.call_llvm_pure_intrin(f"int16{lanes}", _INSTRUCTIONS[lanes], value)
    return tirx.reinterpret(f"{STORAGE}{lanes}", halves)
