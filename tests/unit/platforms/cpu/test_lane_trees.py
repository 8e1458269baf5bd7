"""Lanes are combined in trees, and to the same results."""

from __future__ import annotations

import numpy as np
import pytest

tvm = pytest.importorskip("tvm")
import tvm_ffi  # noqa: E402
from tvm import s_tir, te, tirx  # noqa: E402

from flextune.platforms.cpu.finishing import finished  # noqa: E402
from flextune.platforms.cpu.lane_trees import lanes_combined_in_halves  # noqa: E402

ROWS, COLS = 3, 128
REDUCERS = {"sum": (te.sum, np.sum), "max": (te.max, np.max), "min": (te.min, np.min)}


def _reduction(kind: str, lanes: int, scope: str = "local", cols: int = COLS):
    """A reduction of rows with a partial result for each lane."""
    data, k = te.placeholder((ROWS, cols), name="data"), te.reduce_axis((0, cols), name="k")
    total = te.compute((ROWS,), lambda i: REDUCERS[kind][0](data[i, k], axis=k), name="total")
    schedule = s_tir.Schedule(te.create_prim_func([data, total]))
    block = schedule.get_sblock("total")
    _row, along = schedule.get_loops(block)
    _, lane = schedule.split(along, [None, lanes])
    partial = schedule.rfactor(lane, factor_axis=1)
    schedule.set_scope(partial, 0, scope)
    schedule.compute_at(partial, schedule.get_loops(block)[0])
    return schedule.mod["main"]


def _vector_loops(function) -> list[int]:
    found: list[int] = []

    def visit(loop) -> None:
        if loop.kind == tirx.ForKind.VECTORIZED:
            found.append(int(loop.extent))

    tvm_ffi.structural_walk(function.body, (tirx.For, visit))
    return sorted(found)


def _run(function, data: np.ndarray) -> np.ndarray:
    result = tvm.runtime.tensor(np.full(ROWS, np.nan, "float32"))
    tvm.compile(function, target="llvm").jit()["main"](tvm.runtime.tensor(data), result)
    return result.numpy()


@pytest.mark.parametrize("kind", REDUCERS)
@pytest.mark.parametrize(("lanes", "vectors"), [(4, []), (8, [4]), (16, [4, 8]), (64, [4, 8, 16, 32])])
def test_lanes_are_halved_down_to_four(kind: str, lanes: int, vectors: list[int]) -> None:
    function = _reduction(kind, lanes)
    tree = function.with_body(lanes_combined_in_halves(function.body))
    assert _vector_loops(tree) == vectors
    data = np.random.default_rng(lanes).standard_normal((ROWS, COLS)).astype("float32")
    for each in (tree, function.with_body(finished(function.body))):
        np.testing.assert_allclose(_run(each, data), REDUCERS[kind][1](data, axis=1), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("special", [np.nan, np.inf, -np.inf])
def test_sums_of_special_values_stay_special(special: float) -> None:
    data = np.ones((ROWS, COLS), "float32")
    data[1, 77] = special
    function = _reduction("sum", 16)
    np.testing.assert_array_equal(_run(function.with_body(finished(function.body)), data), data.sum(axis=1))


@pytest.mark.parametrize(("lanes", "scope", "cols"), [(2, "local", 128), (12, "local", 120), (16, "global", 128)])
def test_what_is_no_power_of_two_or_not_local_stays(lanes: int, scope: str, cols: int) -> None:
    function = _reduction("sum", lanes, scope, cols)
    assert lanes_combined_in_halves(function.body).same_as(function.body)


def test_small_local_memory_is_on_the_stack() -> None:
    function = _reduction("sum", 16)
    scopes: list[str] = []
    changed = finished(function.body)
    tvm_ffi.structural_walk(
        changed, (s_tir.SBlock, lambda block: scopes.extend(str(each.scope()) for each in block.alloc_buffers))
    )
    assert scopes
    assert "local" not in scopes
