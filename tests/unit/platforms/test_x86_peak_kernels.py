from __future__ import annotations

import re
from collections import Counter

import numpy as np
import pytest

from flextune.platforms.x86.kind import vector_registers
from flextune.platforms.x86.peak_kernels import DATA_BYTES, bfloat16_kernel, float32_kernel, int8_kernel, read_kernel
from flextune.platforms.x86.peak_loops import compile_kernels, load_kernels
from flextune.target.detect import detect
from flextune.target.peak_measurement import aligned_memory
from flextune.target.target import Target, known_devices

_VECTOR_OF_BITS = {128: "xmm", 256: "ymm", 512: "zmm"}


def loop_instructions(target: Target) -> dict[str, Counter[str]]:
    """How often each vector instruction stands in the machine code of each kernel, spills to the stack as `spill`."""
    kernels = [kernel for kernel in (float32_kernel(target), int8_kernel(target), bfloat16_kernel(target)) if kernel]
    assembly = compile_kernels([*kernels, read_kernel(target)], target).jit().inspect_source("asm")
    counts: dict[str, Counter[str]] = {}
    for line in assembly.splitlines():
        if start := re.match(r"\s*\.globl\s+__tvm_ffi_run_flextune_peak_(\w+)", line):
            counts[start[1]] = count = Counter()
        elif counts and (found := re.match(r"\s+(?:\{vex\}\s+)?(v?[a-z0-9]+)\s.*%([xyz]mm)\d", line)):
            count["spill" if "%rsp" in line else f"{found[1]} {found[2]}"] += 1
    return counts


@pytest.mark.parametrize(
    ("device", "expected"),
    [
        ("x86:sse4-generic", {"float32": "mulps", "int8": "pmaddwd", "read": "paddd"}),
        ("x86:znver3", {"float32": "vfmadd231ps", "int8": "vpmaddwd", "read": "vpaddd"}),
        ("x86:alderlake", {"float32": "vfmadd231ps", "int8": "vpdpbusd", "read": "vpaddd"}),
        ("x86:skylake-avx512", {"float32": "vfmadd231ps", "int8": "vpmaddwd", "read": "vpaddd"}),
        ("x86:icelake", {"float32": "vfmadd231ps", "int8": "vpdpbusd", "read": "vpaddd"}),
        (
            "x86:sapphirerapids",
            {"float32": "vfmadd231ps", "int8": "vpdpbusd", "bfloat16": "vdpbf16ps", "read": "vpaddd"},
        ),
    ],
)
def test_machine_code_keeps_its_accumulators_in_registers(device: str, expected: dict[str, str]) -> None:
    target = Target.parse(device)
    counts = loop_instructions(target)
    assert counts.keys() == expected.keys()
    for kernel, instruction in expected.items():
        needed = 8 if kernel == "read" else min(24, vector_registers(target) - 4)
        assert counts[kernel][f"{instruction} {_VECTOR_OF_BITS[target.vector_bits]}"] >= needed
        assert counts[kernel]["spill"] == 0


@pytest.mark.parametrize("device", [name for name in known_devices() if name.startswith("x86:")])
def test_work_is_counted_per_vector(device: str) -> None:
    target = Target.parse(device)
    lanes = target.vector_lanes(32)
    assert float32_kernel(target).work_per_trip % (2 * lanes) == 0
    assert read_kernel(target).work_per_trip == 8 * target.vector_bits // 8
    per_instruction = 8 if target.has("vnni") or target.has("avxvnni") else 4
    assert int8_kernel(target).work_per_trip % (per_instruction * lanes) == 0


@pytest.mark.hardware("x86")
def test_float32_loop_does_the_operations_it_counts() -> None:
    target = detect()
    kernel = float32_kernel(target)
    memory = aligned_memory(DATA_BYTES)
    memory[:] = 0
    lanes = target.vector_lanes(32)
    values = memory.view(np.float32)
    values[:lanes], values[lanes : 2 * lanes] = 2.0, 3.0
    load_kernels([kernel], target)[kernel.name](memory.ctypes.data, 5)
    multiply_adds = values[:lanes].sum() / (2.0 * 3.0)
    assert 2 * multiply_adds == 5 * kernel.work_per_trip


@pytest.mark.hardware("x86")
def test_int8_loop_does_the_operations_it_counts() -> None:
    target = detect()
    kernel = int8_kernel(target)
    memory = aligned_memory(DATA_BYTES)
    memory[:] = 0
    operand_bytes = target.vector_bits // 8
    dtype = np.uint8 if target.has("vnni") or target.has("avxvnni") else np.int16
    memory[: 2 * operand_bytes].view(dtype)[:] = 1
    load_kernels([kernel], target)[kernel.name](memory.ctypes.data, 5)
    assert 2 * memory[:operand_bytes].view(np.int32).sum() == 5 * kernel.work_per_trip


@pytest.mark.hardware("x86")
def test_read_loop_goes_through_the_whole_buffer() -> None:
    target = detect()
    kernel = read_kernel(target)
    memory = aligned_memory(7 * kernel.work_per_trip)
    words = memory.view(np.int32)
    words[:] = np.arange(len(words))
    total = words.sum()
    load_kernels([kernel], target)[kernel.name](memory.ctypes.data, 7)
    assert words[: target.vector_lanes(32)].sum() == total
