from __future__ import annotations

import numpy as np
import pytest
import tvm

from flextune.csp import Eq
from flextune.platforms.x86.code_generation import compile_module
from flextune.platforms.x86.rules import generate_space
from flextune.schedule.apply import apply_trace
from flextune.schedule.vector_tails import split_vector_tails
from flextune.target.detect import detect
from flextune.target.target import Target
from flextune.workload.parse import parse_workload


@pytest.fixture(scope="module")
def target() -> Target:
    return detect()


def product(target: Target, text: str, lanes: int = 0) -> tuple[str, float]:
    """The program of a product's default, or a schedule of so many lanes, and its largest error against NumPy."""
    workload = parse_workload(text)
    space = generate_space(workload, target)
    chosen = space.solutions.restrict([Eq("lanes", lanes)]).unrank(0) if lanes else space.default
    program = apply_trace(workload, space.trace, chosen)
    arrays = workload.random_inputs(0)
    packs = {pack.index: pack for pack in program.packs}
    result = np.full(workload.outputs[0].shape, np.nan, np.float32)
    placed = [packs[i].pack(array) if i in packs else array for i, array in enumerate(arrays)]
    output = tvm.runtime.tensor(result)
    compile_module(program.module, target)["main"](*map(tvm.runtime.tensor, placed), output)
    expected = arrays[0].astype(np.float64) @ arrays[1].astype(np.float64)
    return program.module.script(), float(np.abs(output.numpy() - expected).max())


@pytest.mark.parametrize("n", [17, 33, 131, 197, 257])
@pytest.mark.parametrize("m", [7, 20])
def test_products_with_a_tail_store_whole_vectors_without_a_guard_a_lane(target: Target, m: int, n: int) -> None:
    script, error = product(target, f"gemm:m={m},n={n},k=24,weights=constant")
    assert error < 1e-4
    assert "_tail" in script


@pytest.mark.parametrize(("n", "lengths"), [(44, {8, 4}), (39, {4, 2}), (36, {4}), (33, set())])
def test_what_is_left_of_accumulators_is_stored_in_shorter_vectors(target: Target, n: int, lengths: set[int]) -> None:
    script, error = product(target, f"gemm:m=6,n={n},k=24", lanes=16 if n > 40 else 8)
    assert error < 1e-4
    tails = [line for line in script.splitlines() if "_tail in" in line]
    assert {int(line.split("(")[1].split(")")[0]) for line in tails if "vectorized" in line} == lengths
    assert sum("unroll" in line for line in tails) == n % 2


def test_a_vector_is_left_out_where_lanes_divide_the_row(target: Target) -> None:
    """40 columns are five vectors of eight: of three tiles of two, the last holds one that is not there."""
    workload = parse_workload("gemm:m=6,n=40,k=24")
    space = generate_space(workload, target)
    chosen = space.solutions.restrict([Eq("lanes", 8), Eq("vectors", 2)]).unrank(0)
    script = apply_trace(workload, space.trace, chosen).module.script()
    assert "_tail in" not in script
    assert "+ 7 < 40" in script


def test_whole_tiles_stay_as_they_are(target: Target) -> None:
    workload = parse_workload("gemm:m=64,n=64,k=32")
    space = generate_space(workload, target)
    exact = space.solutions.restrict([Eq("tile_i", 4), Eq("vectors", 2), Eq("lanes", 16)])
    if not exact.count:
        pytest.skip("needs vectors of 16 lanes")
    function = apply_trace(workload, space.trace, exact.unrank(0)).module["main"]
    assert split_vector_tails(function).same_as(function)


def test_the_default_reads_a_large_constant_operand_once(target: Target) -> None:
    space = generate_space(parse_workload("gemm:m=128,n=10007,k=256,weights=constant"), target)
    assert space.default["grid_i"] == 1
