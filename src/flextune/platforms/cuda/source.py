"""CUDA source of a scheduled program: TVM's, behind a prelude of our own."""

from __future__ import annotations

import re

from flextune.errors import BuildError
from flextune.platforms.cuda.fragments import with_copies, with_fragments, without_copies
from flextune.platforms.cuda.swizzle import with_swizzled_stores
from flextune.platforms.gpu.device_source import device_source
from flextune.platforms.gpu.launch_plan import LaunchPlan
from flextune.platforms.gpu.tensor_instruction import with_typed_fragments
from flextune.target.target import Target
from flextune.tvm_types import IRModule

PRELUDE = """#if defined(__CUDACC_RTC__)
typedef unsigned char uint8_t; typedef unsigned short uint16_t; typedef unsigned int uint32_t;
typedef unsigned long long uint64_t; typedef signed char int8_t; typedef short int16_t; typedef int int32_t;
typedef long long int64_t;
#endif
#define CUDART_INF_F __uint_as_float(0x7f800000u)
#define CUDART_NAN_F __uint_as_float(0x7fffffffu)
template <typename T> __device__ __forceinline__ T flextune_max(T a, T b) { return a > b ? a : b; }
template <typename T> __device__ __forceinline__ T flextune_min(T a, T b) { return a < b ? a : b; }
"""
"""Replaces TVM's, whose `<cuda/std/type_traits>` alone costs a second per kernel: NVRTC has no <cstdint>.

CUDA's own `max` gives the number where the other operand is no number; everywhere else TVM's `Max` is `a > b ? a : b`,
on which the reductions that pass NaN on rely.
"""

HEAD_BEGINS, HEAD_ENDS = "// TVM's own head begins\n", "// TVM's own head ends\n"
"""Around what TVM declares for every source of the kind: what stands for the device may have its own."""

_EXTREME = re.compile(r"(?<![\w])(max|min)\(")

_RTC_PART = re.compile(r"#ifdef __CUDACC_RTC__\n.*?#else\n(.*?)#endif\n", re.DOTALL)

_OPTIONS = {"tirx.disable_cse_tir": True, "tirx.disable_storage_rewrite": True, "tirx.use_async_copy": True}
"""Common subexpressions are left to the compiler: TVM's elimination hides lanes from other passes."""


def cuda_source(module: IRModule, target: Target) -> tuple[str, LaunchPlan]:
    """The kernels of a module's `main` for this GPU, and how they are launched. Raises `BuildError`."""
    attributes = {
        "kind": "cuda",
        "arch": target.word("arch"),
        "max_threads_per_block": target.number("threads"),
        "max_shared_memory_per_block": target.number("shared"),
    }
    source, plan = device_source(with_typed_fragments(module), attributes, _OPTIONS)
    return with_own_prelude(source), plan


def with_own_prelude(source: str) -> str:
    """The source with our prelude for NVRTC. Raises `BuildError` where TVM's is not what is expected."""
    replaced, count = _RTC_PART.subn("", source)
    if count == 0 and "__CUDACC_RTC__" in source:
        raise BuildError("TVM's prelude of CUDA source is not the one of TVM 0.27")
    head, kernels, body = replaced.partition('extern "C" __global__')
    head = head.replace("#include <math_constants.h>\n", "")  # its names are defined by the prelude
    head = without_copies(head)
    body, copies = with_copies(_EXTREME.sub(r"flextune_\1(", body))
    body, swizzle = with_swizzled_stores(body)
    body, fragments = with_fragments(body)
    if "wmma" not in fragments:
        head = head.replace("#include <mma.h>\n", "")  # takes NVRTC longer than the kernel
    return PRELUDE + HEAD_BEGINS + head + HEAD_ENDS + copies + swizzle + fragments + kernels + body
