from __future__ import annotations

import numpy as np
import pytest
import tvm

from flextune.csp import Eq
from flextune.platforms.x86.build import compile_module
from flextune.platforms.x86.rules import generate_space
from flextune.schedule.apply import apply_trace
from flextune.schedule.vector_tails import split_vector_tails
from flextune.target.detect import detect
from flextune.target.target import Target
from flextune.workload.parse import parse_workload


@pytest.fixture(scope="module")
def target() -> Target:
    return detect()


def product(target: Target, text: str) -> tuple[str, float]:
    """The scheduled program of a matrix product's default and its largest error against NumPy."""
    workload = parse_workload(text)
    space = generate_space(workload, target)
    program = apply_trace(workload, space.trace, space.default)
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
