"""The program as it is, without a schedule, is the convolution: any size, padding and number of channels."""

from __future__ import annotations

import numpy as np
import pytest
import tvm

from flextune.analysis.blocks import read_program
from flextune.analysis.program_facts import BlockKind
from flextune.analysis.roles import block_in_role, role_of
from flextune.errors import UsageError
from flextune.plan.algorithms.winograd_program import WinogradShape, winograd_prim_func
from flextune.plan.algorithms.winograd_transforms import transforms

from .convolution import direct, random_arrays


def computed(shape: WinogradShape, outputs: int, data: np.ndarray, weight: np.ndarray) -> np.ndarray:
    function = winograd_prim_func(shape, outputs)
    module = tvm.compile(function, target=tvm.target.Target({"kind": "llvm"})).jit()
    result = tvm.runtime.tensor(np.zeros((shape.batch, shape.out_height, shape.out_width, shape.co), np.float32))
    module["main"](tvm.runtime.tensor(data), tvm.runtime.tensor(transforms(outputs).transform_weights(weight)), result)
    return result.numpy()


@pytest.mark.parametrize("outputs", [2, 4])
@pytest.mark.parametrize("seed", range(4))
def test_random_shapes(seed: int, outputs: int) -> None:
    rng = np.random.default_rng([seed, outputs])
    pads = tuple(int(pad) for pad in rng.integers(0, 2, 4))
    batch, height, width, ci, co = (
        int(rng.integers(low, high)) for low, high in ((1, 3), (3, 12), (3, 12), (1, 20), (1, 20))
    )
    shape = WinogradShape(batch, height, width, ci, co, (pads[0], pads[1], pads[2], pads[3]))
    data, weight = random_arrays(shape, seed)
    expected = direct(data, weight, shape.pads)
    bound = transforms(outputs).error_bound(ci) * np.abs(data).max() * np.abs(weight).sum(axis=(0, 1, 2))
    found = computed(shape, outputs, data, weight)
    assert (np.abs(found - expected) <= bound).all()
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4 * np.abs(expected).max())


def test_blocks_are_plain_and_have_roles() -> None:
    program = read_program(winograd_prim_func(WinogradShape(1, 8, 8, 16, 16, (1, 1, 1, 1)), 4))
    assert program is not None
    roles = ["pad", "rows", "spectrum", "product", "back_rows", "result"]
    assert [role_of(block) for block in program.blocks] == [f"winograd.{role}" for role in roles]
    assert all(block.kind in (BlockKind.ELEMENTWISE, BlockKind.CONTRACTION) for block in program.blocks)
    assert block_in_role(program, "winograd.product") is program.blocks[3]
    assert block_in_role(program, "winograd.nothing") is None


def test_nothing_is_padded_where_tiles_fit() -> None:
    program = read_program(winograd_prim_func(WinogradShape(1, 10, 6, 8, 8, (0, 0, 0, 0)), 4))
    assert program is not None
    assert block_in_role(program, "winograd.pad") is None


@pytest.mark.parametrize(("columns", "tiles"), [(56, 14), (13, 4), (68, 18), (124, 32), (148, 39), (292, 75)])
def test_long_rows_come_in_equal_blocks(columns: int, tiles: int) -> None:
    shape = WinogradShape(1, 4, columns, 8, 8, (1, 1, 1, 1))
    assert shape.tiles(4) == (1, tiles)
    assert tiles <= 16 or any(tiles % block == 0 for block in range(6, 17))


def test_an_image_smaller_than_the_window_is_refused() -> None:
    with pytest.raises(UsageError, match="at least one output"):
        WinogradShape(1, 1, 5, 8, 8, (0, 0, 0, 0))
