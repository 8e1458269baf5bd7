"""Contractions on tensor cores: which programs take them, and what every instruction computes under emulation."""

from dataclasses import replace

import numpy as np
import pytest

from benchmarks.gpu.members import check, emulated, prepared
from benchmarks.gpu.planted import is_found, planted
from flextune.csp import In
from flextune.platforms.cuda.emulation.emulator import Emulator, Order, compiler_fault, sanitizer_fault
from flextune.platforms.cuda.nvrtc import nvrtc_version
from flextune.platforms.cuda.platform import CudaPlatform
from flextune.platforms.cuda.source import cuda_source
from flextune.platforms.gpu.tensor_types import TENSOR_TYPES
from flextune.schedule.apply import apply_trace
from flextune.target.target import Target
from flextune.trial.measurement import Candidate
from flextune.workload.parse import parse_workload

A100, T4 = Target.parse("cuda:a100"), Target.parse("cuda:t4")
PLATFORM = CudaPlatform()
MMA = {kind.name: len(kind.shapes) - 1 for kind in TENSOR_TYPES.values()}


@pytest.fixture(scope="module")
def compiler():
    if fault := compiler_fault():
        pytest.skip(fault)


@pytest.fixture(scope="module")
def sanitizer():
    if fault := sanitizer_fault():
        pytest.skip(fault)


@pytest.mark.parametrize("name", TENSOR_TYPES)
@pytest.mark.parametrize(
    "text", ["gemm:m=128,n=96,k=64", "bmm:b=2,m=33,n=40,k=50,tb=1", "conv2d:h=8,w=9,ci=16,co=24,kh=3,kw=3,pad=1"]
)
def test_products_of_these_types_take_tensor_cores_where_there_are_some(name, text):
    workload, kind = parse_workload(f"{text},dtype={name}"), TENSOR_TYPES[name]
    space = PLATFORM.search_space(workload, A100)
    assert space.rules == ("gpu-tensor-tile",)
    drawn = space.solutions.sample(np.random.default_rng(0), 60)
    assert {each["shape"] for each in drawn} <= set(range(len(kind.shapes)))
    assert len(kind.shapes) - 1 in {each["shape"] for each in drawn}
    on_t4 = PLATFORM.search_space(workload, T4)
    if name.startswith("float16") or name == "int8":
        assert on_t4.rules == ("gpu-tensor-tile",)
        assert max(each["shape"] for each in on_t4.solutions.sample(np.random.default_rng(0), 20)) < len(kind.wmma)
    else:
        assert on_t4.rules == ("gpu-matrix-tile",)


def test_wmma_has_the_shapes_of_heron():
    shapes = {shape for kind in TENSOR_TYPES.values() if kind.name != "tf32" for shape in kind.wmma}
    assert all(rows * columns * steps == 4096 for rows, columns, steps in shapes)
    assert all(size in (8, 16, 32) for shape in shapes for size in shape)


def test_float32_is_not_computed_in_fewer_bits():
    assert PLATFORM.search_space(parse_workload("gemm:m=128,n=128,k=128"), A100).rules == ("gpu-matrix-tile",)


@pytest.mark.usefixtures("compiler")
@pytest.mark.parametrize(
    "text",
    [
        "gemm:m=33,n=40,k=40,dtype=float16",
        "gemm:m=33,n=40,k=40,tb=1,dtype=float16_float32,epilogue=bias+relu",
        "gemm:m=33,n=40,k=40,ta=1,dtype=bfloat16",
        "gemm:m=33,n=40,k=40,ta=1,dtype=tf32",
        "gemm:m=33,n=40,k=40,tb=1,dtype=int8",
        "gemm:m=33,n=40,k=40,dtype=uint8",
        "conv2d:h=6,w=6,ci=5,co=9,kh=3,kw=3,pad=1,dtype=bfloat16,epilogue=bias+relu",
    ],
)
def test_every_instruction_computes_the_product(text):
    workload = parse_workload(text)
    space = PLATFORM.search_space(workload, A100)
    kind = TENSOR_TYPES[workload.dtype]
    drawn = space.solutions.sample(np.random.default_rng(1), 200)
    for number, shape in enumerate(kind.shapes):
        found = [each for each in drawn if each["shape"] == number and each["threads"] <= 128]
        if not found:  # wmma takes no tile that begins where it would have to
            assert shape != kind.mma
            continue
        candidate = Candidate(workload, A100, space.trace, found[0])
        source, plan = source_of(candidate)
        assert ("nvcuda::wmma::fragment" in source, "mma.sync" in source) == (shape != kind.mma, shape == kind.mma)
        assert plan.dynamic_shared == max(found[0]["operands_shared_bytes"], found[0]["sums_shared_bytes"])
        if number in (0, len(kind.shapes) - 1):
            said = check(candidate, with_races=False, with_compiler=bool(nvrtc_version()))
            assert (said.fault, said.spills) == ("", 0), candidate.assignment


@pytest.mark.usefixtures("compiler")
@pytest.mark.parametrize(
    ("text", "stages"),
    [
        ("gemm:m=64,n=64,k=160,dtype=float16_float32,epilogue=bias+relu", 3),
        ("gemm:m=33,n=40,k=80,ta=1,dtype=bfloat16", 1),
        ("gemm:m=33,n=40,k=80,tb=1,dtype=int8", 1),
        ("gemm:m=33,n=40,k=80,tb=1,dtype=uint8", 1),
        ("gemm:m=33,n=40,k=80,tb=1,dtype=uint8", 2),
        ("bmm:b=2,m=33,n=40,k=80,tb=1,dtype=tf32", 2),
    ],
)
def test_swizzled_tiles_are_read_from_all_banks_at_once(text, stages):
    workload = parse_workload(text)
    space = PLATFORM.search_space(workload, A100)
    like = restricted(space.solutions, stages=stages, depth=64, warp_rows=2, warp_columns=1, shape=MMA[workload.dtype])
    [chosen] = restricted(like, swizzle=1).sample(np.random.default_rng(0), 1)
    candidate = Candidate(workload, A100, space.trace, chosen)
    said = check(candidate, with_races=False, with_compiler=bool(nvrtc_version()))
    assert (said.fault, said.spills) == ("", 0), candidate.assignment
    assert (chosen["left_pad"], chosen["right_pad"]) == (0, 0)
    assert conflicts(candidate) == 0
    [unpadded] = restricted(like, swizzle=0, left_pad=0, right_pad=0).sample(np.random.default_rng(0), 1)
    assert conflicts(replace(candidate, assignment=unpadded)) > 0


def restricted(solutions, **values):
    return solutions.restrict([In(name, (value,)) for name, value in values.items()])


def conflicts(candidate):
    """How many times more than necessary the banks are read for the operands, as the emulation counts."""
    source, plan = source_of(candidate)
    arrays, _ = prepared(candidate.workload, plan, candidate.workload.random_inputs(0))
    ended = Emulator(source, plan).run(arrays, Order.SHUFFLED)
    assert ended.matrix_reads > 0
    return ended.bank_conflicts


@pytest.mark.usefixtures("compiler")
@pytest.mark.parametrize("stages", [1, 2])
def test_tiles_that_are_swizzled_on_one_side_are_wrong(stages):
    workload = parse_workload("gemm:m=33,n=40,k=80,dtype=float16_float32")
    space = PLATFORM.search_space(workload, A100)
    [chosen] = restricted(space.solutions, swizzle=1, stages=stages, depth=32).sample(np.random.default_rng(0), 1)
    candidate = Candidate(workload, A100, space.trace, chosen)
    faults = [each for each in planted(candidate) if "swizzled" in each.name]
    assert len(faults) == 2
    assert all(is_found(each, candidate, with_races=False) for each in faults)


def source_of(candidate):
    program = apply_trace(candidate.workload, candidate.trace, candidate.assignment, candidate.target)
    return cuda_source(program.module, candidate.target)


@pytest.mark.slow
@pytest.mark.usefixtures("sanitizer")
def test_copies_under_way_are_waited_for():
    workload = parse_workload("gemm:m=33,n=40,k=80,dtype=float16_float32")
    space = PLATFORM.search_space(workload, A100)
    drawn = space.solutions.sample(np.random.default_rng(2), 600)
    [chosen, *_] = [each for each in drawn if each["stages"] == 3 and each["threads"] == 64]
    candidate = Candidate(workload, A100, space.trace, chosen)
    source, plan = source_of(candidate)
    inputs = workload.random_inputs(0)
    assert plan.dynamic_shared == max(3 * chosen["step_bytes"], chosen["sums_shared_bytes"])
    assert emulated(workload, source, plan, inputs, with_races=True) == ("", 0)
    if nvrtc_version():
        assert PLATFORM.build([candidate])[0].report.spills == 0
    for number in range(1, 3):
        wait, shorter = (f"flextune::wait_for_copies<{each}>()" for each in (number, number + 1))
        assert wait in source
        wrong, races = emulated(workload, source.replace(wait, shorter), plan, inputs, with_races=True)
        assert wrong or races
