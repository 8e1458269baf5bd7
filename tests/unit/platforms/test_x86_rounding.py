from __future__ import annotations

import numpy as np
import pytest
import tvm
from tvm import s_tir, te

from flextune.lowering.precision.bfloat16 import from_bfloat16, to_bfloat16
from flextune.platforms.x86.code_generation import compile_executable
from flextune.target.detect import detect
from flextune.target.target import Target
from flextune.workload.rounding import bfloat16_of
from flextune.workload.tir import from_prim_func, load_program

SPECIAL = np.array([0x7F800000, 0xFF800000, 0x7FC00000, 0x7F800001, 0x7F7FFFFF, 0x80000000, 0x3F808000], np.uint32)


def rounding(size: int) -> tvm.tirx.PrimFunc:
    x = te.placeholder((size,), "float32", name="x")
    return te.create_prim_func([x, te.compute((size,), lambda i: bfloat16_of(x[i] * 2.0), name="y")])


def vectorized(lanes: int) -> tvm.tirx.PrimFunc:
    schedule = s_tir.Schedule(rounding(4096))
    (loop,) = schedule.get_loops(schedule.get_sblock("y"))
    schedule.vectorize(schedule.split(loop, [None, lanes])[1])
    return schedule.mod["main"]


@pytest.mark.hardware("bf16")
@pytest.mark.parametrize("lanes", [2, 4, 8, 16, 32])
def test_vectors_round_as_arrays_do(lanes: int) -> None:
    built = compile_executable(vectorized(lanes), detect())
    rng = np.random.default_rng(lanes)
    values = rng.integers(0, 2**32, 4096, dtype=np.uint32).view(np.float32)
    values[: len(SPECIAL)] = SPECIAL.view(np.float32)
    out = tvm.runtime.tensor(np.zeros(4096, np.uint16))
    built.jit()["main"](tvm.runtime.tensor(values), out)
    with np.errstate(over="ignore", invalid="ignore"):
        doubled = values * np.float32(2)
    got, wanted = out.numpy(), to_bfloat16(doubled)
    normal = ~np.isnan(doubled) & ((np.abs(doubled) >= np.finfo(np.float32).tiny) | (doubled == 0))
    assert np.array_equal(got[normal], wanted[normal])
    assert np.isnan(from_bfloat16(got[np.isnan(doubled)])).all()
    assert np.abs(from_bfloat16(got[~normal & ~np.isnan(doubled)])).max(initial=0) <= np.finfo(np.float32).tiny


@pytest.mark.parametrize("lanes", [1, 16])
def test_a_processor_without_the_instruction_rounds_by_arithmetic(lanes: int) -> None:
    """LLVM would end the process: it cannot select the instruction."""
    built = compile_executable(vectorized(lanes), Target.parse("x86:avx512-generic"))
    assert "cvtneps2bf16" not in built.mod.inspect_source("asm")


@pytest.mark.hardware("bf16")
def test_vectors_of_a_register_are_rounded_by_the_instruction() -> None:
    code = {lanes: compile_executable(vectorized(lanes), detect()) for lanes in (8, 16)}
    assert all("vcvtneps2bf16" in built.mod.inspect_source("asm") for built in code.values())


def test_programs_that_round_travel_as_text() -> None:
    workload = from_prim_func(rounding(64), "round")
    assert load_program(workload.body, ()).func is not None
    assert workload.flops == 64
