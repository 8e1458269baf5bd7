"""Rounding to bfloat16 by VCVTNEPS2BF16 (AVX512-BF16), one instruction in place of eight."""

from __future__ import annotations

from tvm import tirx

from flextune.tvm_types import Expression
from flextune.workload.rounding import STORAGE, by_bits

ROUNDING_FEATURE = "+avx512bf16"
"""LLVM's name of what a processor must have for it."""

_INSTRUCTIONS = {
    "x16": "llvm.x86.avx512bf16.cvtneps2bf16.512",
    "x8": "llvm.x86.avx512bf16.cvtneps2bf16.256",
}
"""LLVM's names by the lanes of a vector; other vectors are rounded by arithmetic on their bits."""


def rounded(call: Expression) -> Expression:
    """The code of a call of the rounding operator of `flextune.workload.rounding`."""
    value = call.args[0]
    lanes = str(value.ty).removeprefix("float32")
    if lanes not in _INSTRUCTIONS:
        return by_bits(call)
    # TVM has no vectors of LLVM's bfloat; declared as int16 they are what they are in memory.
    halves = tirx.call_llvm_pure_intrin(f"int16{lanes}", _INSTRUCTIONS[lanes], value)
    return tirx.reinterpret(f"{STORAGE}{lanes}", halves)
