"""CINN's interface: searched over ranges, applied at any size, NumPy being the judge; its faults are not there."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from flextune.compat.cinn import BFGenerator, ModelSearcher, SearchOption, common, ops
from flextune.compat.cinn.record import read_record
from flextune.compat.cinn.searcher import TunedOperator
from flextune.errors import UsageError
from flextune.trial.measurement import Status

RANGES = {"warp_num": (1, 32), "tree_reduce_num": (32, 1024), "spatial_inner_num": (1, 4)}
POWERS = {lambda x: all((n & (n - 1)) == 0 for n in x)}
QUICK = SearchOption(num_measure_trials=2, repeat=1, timeout=60)


def searcher(builder: Any, path: Path, **changes: Any) -> ModelSearcher:
    arguments: dict[str, Any] = {"shape": [(2, 20), (2, 60)], "shape_name": ["S", "R"], "layout": "SR", "points": 4}
    generator = BFGenerator(RANGES, POWERS)
    return ModelSearcher(
        "test", **(arguments | changes), program_builder=builder, candidate_generator=generator, log_path=path
    )


def layernorm(x: np.ndarray) -> np.ndarray:
    return (x - x.mean(1, keepdims=True)) / np.sqrt(x.var(1, keepdims=True) + 1e-5)


def softmax(x: np.ndarray) -> np.ndarray:
    raised = np.exp(x - x.max(1, keepdims=True))
    return raised / raised.sum(1, keepdims=True)


def check(operator: TunedOperator, reference: Callable[[np.ndarray], np.ndarray]) -> None:
    rng = np.random.default_rng(0)
    for shape in ((2, 2), (17, 53), (20, 60), (3, 31), (1, 1), (40, 700)):  # the last two are out of range
        x = rng.standard_normal(shape).astype("float32")
        np.testing.assert_allclose(operator(x), reference(x), rtol=1e-4, atol=1e-4)


@pytest.mark.slow
def test_programs_tuned_together_are_right_at_all_sizes(tmp_path: Path) -> None:
    builders = [ops.build_layernorm_program(), ops.build_reduce_program("max")]
    search = searcher(builders, tmp_path / "record.json")
    assert set(search.search(QUICK)) <= set(RANGES)
    head, trials = read_record(tmp_path / "record.json")
    assert len(trials) == 1 + QUICK.num_measure_trials  # the default, and one record for each configuration
    assert all(trial.status is Status.OK for trial in trials)
    assert {len(repeats) for trial in trials for each in trial.run_secs for repeats in each} <= {0, QUICK.repeat}
    assert head.target == str(common.DefaultTarget())
    for operator, reference in zip(search.apply(search.get_log_path), (layernorm, lambda x: x.max(1)), strict=True):
        check(operator, reference)


@pytest.mark.slow
def test_softmax_by_schedules_of_windows(tmp_path: Path) -> None:
    search = searcher(ops.build_softmax_program(), tmp_path / "record.json", windows=True)
    search.search(QUICK)
    operator = search.apply(tmp_path / "record.json")
    assert isinstance(operator, TunedOperator)
    check(operator, softmax)


@pytest.mark.slow
def test_a_residual_block_with_symbolic_images(tmp_path: Path) -> None:
    search = searcher(
        ops.build_resnet_block_program(8),
        tmp_path / "record.json",
        shape=[(1, 2), (3, 9), (3, 9)],
        shape_name="NHW",
        layout="NHW",
    )
    search.search(SearchOption(num_measure_trials=1, repeat=1, timeout=60))
    operator, rng = search.apply(tmp_path / "record.json"), np.random.default_rng(0)
    assert isinstance(operator, TunedOperator)
    w1, w2 = (rng.standard_normal((3, 3, 8, 8)).astype("float32") / 9 for _ in range(2))
    b1, b2 = (rng.standard_normal(8).astype("float32") for _ in range(2))
    for shape in ((1, 3, 9), (2, 7, 5)):
        x = rng.standard_normal((*shape, 8)).astype("float32")
        inner = np.maximum(convolved(x, w1) + b1, 0)
        np.testing.assert_allclose(
            operator(x, w1, b1, w2, b2), np.maximum(convolved(inner, w2) + b2 + x, 0), rtol=1e-4, atol=1e-4
        )


def convolved(x: np.ndarray, weight: np.ndarray) -> np.ndarray:
    padded = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), (1, 2))
    return np.einsum("nhwcyx,yxco->nhwo", windows, weight)


def test_a_timeout_ends_a_trial_and_is_recorded(tmp_path: Path) -> None:
    search = searcher(ops.build_softmax_program(), tmp_path / "record.json")
    with pytest.raises(UsageError, match=r"no schedule runs|cannot be measured"):
        search.search(SearchOption(num_measure_trials=1, repeat=1, timeout=1e-3))


@pytest.mark.parametrize("high", [128, 8193, 100_000])
def test_ranges_of_any_length_have_windows_that_end(high: int, tmp_path: Path) -> None:
    search = searcher(ops.build_softmax_program(), tmp_path / "r.json", shape=[(2, 64), (3, high)], windows=True)
    assert search.grid.sizes[1][0] == 3
    assert search.grid.sizes[1][-1] == high


def test_what_cannot_be_used_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="R needs"):
        searcher(ops.build_softmax_program(), tmp_path / "r.json", shape=[(2, 64), (3,)])
    with pytest.raises(UsageError, match=r"range 9\.\.3"):
        searcher(ops.build_softmax_program(), tmp_path / "r.json", shape=[(2, 64), (9, 3)])
    with pytest.raises(UsageError, match="layout"):
        searcher(ops.build_softmax_program(), tmp_path / "r.json", layout="SX")
    with pytest.raises(UsageError, match="dtype"):
        ops.build_softmax_program("int8")
    with pytest.raises(UsageError, match="timeout"):
        SearchOption(timeout=0)
    with pytest.raises(UsageError, match="raised ZeroDivisionError"):
        list(BFGenerator({"a": (1, 2)}, lambda x: 1 // (x[0] - 1)))


def test_a_record_of_something_else_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "record.json"
    search = searcher(ops.build_softmax_program(), path)
    path.write_text(search._head(common.DefaultTarget()).line() + "\n")
    with pytest.raises(UsageError, match="no trial that went well"):
        search.apply(path)
    with pytest.raises(UsageError, match="other sizes"):
        searcher(ops.build_softmax_program(), path, shape=[(2, 20), (2, 61)]).apply(path)
    with pytest.raises(UsageError, match="another program"):
        searcher(ops.build_layernorm_program(), path).apply(path)
    path.write_text("nothing\n")
    with pytest.raises(UsageError, match="line 1"):
        search.apply(path)
    with pytest.raises(UsageError, match="no record file"):
        search.apply(tmp_path / "missing.json")


def test_float16_is_computed_in_float32(tmp_path: Path) -> None:
    search = searcher(ops.build_layernorm_program("float16"), tmp_path / "record.json")
    search.search(SearchOption(num_measure_trials=1, repeat=1, timeout=60))
    x = np.random.default_rng(0).standard_normal((5, 37)).astype("float16")
    np.testing.assert_allclose(search.apply(tmp_path / "record.json")(x), layernorm(x.astype("float32")), atol=3e-3)
