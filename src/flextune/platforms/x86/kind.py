"""Targets that are x86 processors: their features, and what vectors follow from them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from flextune.platforms.cpu.kind import CPU_ATTRIBUTES, CpuKind
from flextune.platforms.x86.devices import DEVICES
from flextune.target.kind import Feature
from flextune.target.target import Target

FEATURES = (
    Feature("sse4"),
    Feature("avx2", ("sse4",), "256-bit vectors with fused multiply-add"),
    Feature("avx512", ("sse4", "avx2"), "512-bit vectors and 32 registers"),
    Feature(
        "vnni", ("sse4", "avx2", "avx512"), "uint8 x int8 products at four times the rate of float32", ("avxvnni",)
    ),
    Feature("bf16", ("sse4", "avx2", "avx512"), "bfloat16 products at twice the rate of float32"),
    Feature("avxvnni", ("sse4", "avx2")),
    Feature("amx", ("sse4", "avx2", "avx512")),
)
"""`vnni` is AVX512-VNNI, `avxvnni` its 256-bit VEX form, `bf16` is AVX512-BF16, `avx512` means F, BW, VL and DQ, `avx2`
includes FMA, `sse4` is SSE4.2."""

_LLVM_ATTRIBUTES: Mapping[str, tuple[str, ...]] = {
    "sse4": ("sse4.1", "sse4.2"),
    "avx2": ("avx2", "fma"),
    "avx512": ("avx512f", "avx512bw", "avx512vl", "avx512dq"),
    "vnni": ("avx512vnni",),
    "bf16": ("avx512bf16",),
    "avxvnni": ("avxvnni",),
    "amx": ("amx-tile", "amx-int8", "amx-bf16"),
}


@dataclass(frozen=True, slots=True, eq=False)
class X86Kind(CpuKind):
    """x86-64 processors."""

    def vector_bits(self, target: Target) -> int:
        """512, 256 or 128."""
        if target.has("avx512"):
            return 512
        return 256 if target.has("avx2") else 128

    def obstacle(self, target: Target, dtype: str) -> str:
        """Products of bfloat16 without their instruction are slower than those of float32."""
        if dtype != "bfloat16" or target.has("bf16"):
            return ""
        has = ", ".join(target.features) or "no vector extensions"
        return f"a processor with AVX512-BF16; {target.word('cpu')} has {has}"


X86 = X86Kind(
    "x86", CPU_ATTRIBUTES, FEATURES, DEVICES, example="avx2-generic", host="flextune.platforms.x86.host:X86Host"
)


def vector_registers(target: Target) -> int:
    """Number of architectural vector registers: 32 with AVX-512, else 16."""
    return 32 if target.has("avx512") else 16


def llvm_attributes(target: Target) -> tuple[str, ...]:
    """LLVM's `mattr`: `+` for each feature, `-` for each left out, whatever `cpu` alone would mean."""
    return tuple(
        f"{'+' if target.has(feature.name) else '-'}{attribute}"
        for feature in FEATURES
        for attribute in _LLVM_ATTRIBUTES[feature.name]
    )
