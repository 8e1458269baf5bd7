"""Tuning over ranges of sizes, small: schedules are measured, few are kept, the choice is checked elsewhere."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest

from flextune.database.store import open_database
from flextune.errors import UsageError
from flextune.interface import tune_ranges
from flextune.target.detect import detect
from flextune.trial.decision import Decision
from flextune.trial.variants_decision import VariantsDecision
from flextune.tuning.budget import Budget
from flextune.tuning.search_options import SearchOptions
from flextune.tuning.variants.candidates import proposals
from flextune.tuning.variants.study import StudyOptions
from flextune.tuning.variants.tile_model import cost_of, work_counts
from flextune.tuning.variants.tuned import tune_group
from flextune.tuning.variants.workload_group import group_of_workload
from flextune.workload.dim_expr import DimExpr, ceil_div
from flextune.workload.symbolic_workload import SymbolicWorkload


@pytest.mark.slow
def test_a_workload_is_tuned_over_its_range_and_recorded(tmp_path: Path) -> None:
    path = str(tmp_path / "records.db")
    found = tune_ranges("gemm:m=1..48,n=32,k=32", 0.15, database=path)
    assert 1 <= len(found.chosen) <= 6
    assert len(found.candidates) > 1
    assert {found.at((m,)) for m in range(1, 49)} <= set(found.chosen)
    measured = {point for each in found.candidates for point, _ in each.secs}
    assert {(1,), (48,)} <= measured, "both ends of the range are measured"
    assert all(not each.error for each in found.candidates)
    with open_database(path, must_exist=True) as database:
        assert database.decisions(Decision) == [found]
        assert database.decision(VariantsDecision, detect().key, found.key) == found


def test_no_measurement_begins_after_the_deadline_but_the_default() -> None:
    group = group_of_workload(SymbolicWorkload.parse("softmax:rows=1..8,cols=16"))
    found = tune_group(group, detect(), StudyOptions(repeats=1), time.perf_counter() - 1)
    assert found.chosen == (0,)
    assert not found.verified


def test_a_budget_without_minutes_is_refused() -> None:
    with pytest.raises(UsageError, match="positive"):
        tune_ranges("gemm:m=1..48,n=32,k=32", 0)


def test_what_only_a_search_at_one_size_follows_is_refused_by_name() -> None:
    search = SearchOptions(strategy="random", cost_model="none", seed=3)
    with pytest.raises(UsageError, match=r"gemm:.* has ranges of sizes: .* followed: a strategy, a cost model$"):
        tune_ranges("gemm:m=1..48,n=32,k=32", 0.1, search=search)
    with pytest.raises(UsageError, match=r"followed: trials, patience$"):
        tune_ranges("gemm:m=1..48,n=32,k=32", Budget(trials=4, patience_trials=2))


def test_the_seed_says_at_which_sizes_a_choice_is_checked() -> None:
    workload = SymbolicWorkload.parse("gemm:m=1..480,n=32,k=32")
    first, second, again = (group_of_workload(workload, seed).others for seed in (0, 1, 0))
    assert first == again != second


def test_schedules_are_looked_for_until_a_moment_and_no_longer() -> None:
    group = group_of_workload(SymbolicWorkload.parse("gemm:m=1..48,n=32,k=32"))
    points = [group.sizes(point) for point in group.sample.points]
    assert len(proposals(group.function, group.constants, points, detect(), time.perf_counter())) == 1


def test_costs_are_the_fitted_line_over_whole_tiles() -> None:
    work = 3 * ceil_div("m", 8)
    counts = work_counts([work], ["m"], [(1,), (9,), (40,)])[0]
    cost = cost_of(work, np.array([5e-6 + 2e-6 * 3, np.nan, 5e-6 + 2e-6 * 15]), counts)
    assert cost is not None
    assert cost.bind({"m": 17}) == pytest.approx(1e15 * (5e-6 + 2e-6 * 9), rel=1e-6)
    assert cost_of(DimExpr.of("m"), np.array([np.inf, np.nan, np.inf]), counts) is None
