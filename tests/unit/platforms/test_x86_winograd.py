"""Every schedule of a Winograd program computes the convolution, with whatever is fused behind it."""

from __future__ import annotations

import numpy as np
import pytest
import tvm
from tvm import te, tirx

from flextune.plan.algorithms.winograd_program import WinogradShape, winograd_prim_func, winograd_tensor
from flextune.plan.algorithms.winograd_transforms import transforms
from flextune.platforms.x86.code_generation import compile_module
from flextune.platforms.x86.kind import vector_registers
from flextune.platforms.x86.rules import generate_space
from flextune.schedule.apply import apply_trace
from flextune.schedule.space import SearchSpace
from flextune.schedule.trace import Trace
from flextune.target.detect import detect
from flextune.target.target import Target
from flextune.workload import from_prim_func

SHAPE = WinogradShape(2, 11, 9, 32, 48, (1, 1, 1, 1))
AVX512 = Target.parse("x86:cpu=znver4,cores=2,features=avx512,l1=32768,l2=1048576,l3=33554432")
SSE4 = Target.parse("x86:cpu=x86-64-v2,cores=2,features=sse4,l1=32768,l2=1048576,l3=33554432")


def space_of(shape: WinogradShape, outputs: int, target: Target) -> SearchSpace:
    return generate_space(from_prim_func(winograd_prim_func(shape, outputs), "winograd_conv2d", (1,)), target)


def with_epilogue(shape: WinogradShape, outputs: int) -> tvm.tirx.PrimFunc:
    """conv -> + bias -> + residual -> relu, as `FuseTIR` leaves it: (data, weight, bias, residual, result)."""
    data = te.placeholder((shape.batch, shape.height, shape.width, shape.ci), "float32", name="data")
    weight = te.placeholder((transforms(outputs).inputs ** 2, shape.ci, shape.co), "float32", name="weight")
    out = (shape.batch, shape.out_height, shape.out_width, shape.co)
    bias, residual = (
        te.placeholder((shape.co,), "float32", name="bias"),
        te.placeholder(out, "float32", name="residual"),
    )
    conv = winograd_tensor(data, weight, shape.pads, outputs)
    biased = te.compute(out, lambda n, y, x, c: conv[n, y, x, c] + bias[c], name="biased")
    added = te.compute(out, lambda n, y, x, c: biased[n, y, x, c] + residual[n, y, x, c], name="added")
    relu = te.compute(out, lambda n, y, x, c: tirx.max(added[n, y, x, c], tirx.const(0, "float32")), name="relu")
    return te.create_prim_func([data, weight, bias, residual, relu])


def direct(data: np.ndarray, weight: np.ndarray) -> np.ndarray:
    padded = np.pad(data.astype(np.float64), ((0, 0), (1, 1), (1, 1), (0, 0)))
    rows, columns = data.shape[1:3]
    taps = [
        padded[:, r : r + rows, s : s + columns] @ weight[r, s].astype(np.float64) for r in range(3) for s in range(3)
    ]
    return np.sum(taps, axis=0)


@pytest.mark.parametrize("target", [AVX512, SSE4], ids=lambda target: target.word("cpu"))
@pytest.mark.parametrize("outputs", [2, 4])
@pytest.mark.parametrize(
    "shape",
    [
        WinogradShape(1, 56, 56, 64, 64, (1, 1, 1, 1)),
        WinogradShape(1, 14, 14, 256, 256, (1, 1, 1, 1)),
        WinogradShape(1, 10, 10, 16, 16, (0, 0, 0, 0)),
        WinogradShape(3, 5, 7, 3, 5, (1, 0, 0, 1)),
    ],
    ids=str,
)
def test_one_rule_for_the_whole_algorithm(shape: WinogradShape, outputs: int, target: Target) -> None:
    space = space_of(shape, outputs, target)
    assert space.rules == ("winograd",)
    assert space.solutions.count > 1
    assert space.default in space.solutions
    assert Trace.from_json(space.trace.to_json()) == space.trace


def test_weights_that_are_not_constant_are_left_to_other_rules() -> None:
    space = generate_space(from_prim_func(winograd_prim_func(SHAPE, 2), "winograd_conv2d"), AVX512)
    assert "winograd" not in space.rules


def test_members_keep_the_limits() -> None:
    space = space_of(SHAPE, 2, AVX512)
    for member in space.solutions.sample(np.random.default_rng(0), 50):
        assert member["tile_ty"] * member["tile_tx"] * member["vectors"] + member["vectors"] + 1 <= vector_registers(
            AVX512
        )
        assert member["block_ty"] * member["grid_ty"] == 6
        assert member["block_tx"] * member["grid_tx"] == 5
        assert member["vectors"] * member["cache_co"] * member["grid_co"] == 3
        assert member["tasks"] >= AVX512.cores


def test_a_large_image_is_never_transformed_whole() -> None:
    space = space_of(WinogradShape(1, 224, 224, 64, 64, (1, 1, 1, 1)), 4, AVX512)
    assert {member["spectrum_at"] for member in space.solutions.sample(np.random.default_rng(0), 20)} == {0}
    largest = max(member["spectrum_bytes"] for member in space.solutions.sample(np.random.default_rng(1), 200))
    assert largest <= AVX512.number("l3") // AVX512.cores


@pytest.mark.parametrize("outputs", [2, 4])
def test_random_members_compute_the_convolution(outputs: int) -> None:
    target, rng = detect(), np.random.default_rng(outputs)
    workload = from_prim_func(with_epilogue(SHAPE, outputs), "winograd_conv2d_add_add_relu", (1, 2))
    space = generate_space(workload, target)
    assert space.rules == ("winograd",)
    data, weight = (rng.standard_normal(size, dtype=np.float32) for size in ((2, 11, 9, 32), (3, 3, 32, 48)))
    bias, residual = (rng.standard_normal(size, dtype=np.float32) for size in ((48,), (2, 11, 9, 48)))
    expected = np.maximum(direct(data, weight) + bias + residual, 0)
    inputs = [data, transforms(outputs).transform_weights(weight), bias, residual]
    for member in [space.default, *space.solutions.sample(rng, 5)]:
        program = apply_trace(workload, space.trace, member)
        packs = {pack.index: pack for pack in program.packs}
        assert set(packs) == {1}
        arrays = [packs[i].pack(array) if i in packs else array for i, array in enumerate(inputs)]
        result = tvm.runtime.tensor(np.full(expected.shape, np.nan, np.float32))
        compile_module(program.module, target)["main"](*map(tvm.runtime.tensor, arrays), result)
        np.testing.assert_allclose(
            result.numpy(), expected, rtol=0, atol=1e-5 * np.abs(expected).max(), err_msg=str(member)
        )
