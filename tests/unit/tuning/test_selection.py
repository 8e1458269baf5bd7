"""Choosing among the alternatives of a group: prediction prunes, measurement decides, reasons are kept."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from flextune.plan.alternative import FUSED, PARTS, Alternative
from flextune.plan.group_kernels import GroupKernels
from flextune.platforms.estimator import TargetEstimator
from flextune.target.target import Target
from flextune.trial.decision import GroupDecision
from flextune.tuning.selection import Circumstances, Selection
from flextune.workload.parse import parse_workload
from flextune.workload.workload import Workload

ESTIMATOR = TargetEstimator(Target.parse("null:cpu=any,cores=2"))
Kernels = Mapping[Alternative, tuple[Workload, ...]]
ABOUT = Circumstances("a model", "x86:test", "in the model")


def workload(size: int) -> Workload:
    return parse_workload(f"gemm:m={size},n={size},k={size}")


WHOLE, LEFT, RIGHT, SHORT, LARGE = (workload(size) for size in (64, 48, 40, 56, 512))


OTHER, HUGE = Alternative(algorithm="other"), Alternative(algorithm="huge")
ALL: Kernels = {FUSED: (WHOLE,), PARTS: (LEFT, RIGHT), OTHER: (SHORT,), HUGE: (LARGE,)}


def group(kernels: Kernels = ALL, count: int = 3, kind: str = "group0") -> GroupKernels:
    return GroupKernels(kind, WHOLE.key, "matmul + add", "matmul", count, kernels)


def test_an_alternative_that_is_predicted_to_be_far_slower_is_not_measured() -> None:
    selection = Selection.of([group()], {}, ESTIMATOR)
    assert selection.measured["group0"] == (FUSED, PARTS, OTHER)
    assert {each.key for each in selection.workloads()} == {WHOLE.key, LEFT.key, RIGHT.key, SHORT.key}


def test_a_group_that_hardly_counts_keeps_its_fused_kernel_unmeasured() -> None:
    large = GroupKernels("group1", LARGE.key, "matmul", "single", 1000, {FUSED: (LARGE,)})
    selection = Selection.of([group(count=1), large], {}, ESTIMATOR)
    assert selection.measured["group0"] == (FUSED,)


def test_the_fastest_sum_is_chosen_and_launches_count() -> None:
    selection = Selection.of([group()], {}, ESTIMATOR)
    secs = {WHOLE.key: 100e-6, LEFT.key: 50e-6, RIGHT.key: 49.5e-6, SHORT.key: 120e-6}
    assert selection.choice(secs) == {"group0": FUSED}
    assert selection.choice({**secs, RIGHT.key: 30e-6}) == {"group0": PARTS}
    assert selection.measured_secs(group(), secs)[PARTS] == pytest.approx(99.5e-6 + 2 * ESTIMATOR.launch_secs)


def test_a_gain_within_chance_changes_nothing() -> None:
    selection = Selection.of([group()], {}, ESTIMATOR)
    assert selection.choice({WHOLE.key: 100e-6, SHORT.key: 99e-6}) == {"group0": FUSED}


def test_weights_count_calls_of_what_is_in_the_running() -> None:
    selection = Selection.of([group(count=4)], {"elsewhere": 2.0}, ESTIMATOR)
    weights = selection.weights({WHOLE.key: 100e-6, LEFT.key: 300e-6, RIGHT.key: 10e-6, SHORT.key: 110e-6})
    assert weights[WHOLE.key] == 4
    assert 0 < weights[SHORT.key] < 4
    assert LEFT.key not in weights
    assert weights["elsewhere"] == 2


def test_before_anything_is_measured_every_alternative_is_in_the_running() -> None:
    weights = Selection.of([group()], {}, ESTIMATOR).weights({})
    assert set(weights) == {WHOLE.key, LEFT.key, RIGHT.key, SHORT.key}


def test_a_decision_keeps_both_measurements_and_its_reason() -> None:
    selection = Selection.of([group()], {}, ESTIMATOR)
    secs = {WHOLE.key: 100e-6, LEFT.key: 50e-6, RIGHT.key: 30e-6, SHORT.key: 90e-6}
    (decision,) = selection.decisions(secs, selection.choice(secs), ABOUT)
    assert decision.chosen == PARTS
    assert decision.reason.startswith("in the model: 84.0 us against 92.0 us of other")
    assert {option.name: option.measured_secs is None for option in decision.options} == {
        "fused": False,
        "parts": False,
        "other": False,
        "huge": True,
    }
    assert GroupDecision.from_json(decision.to_json()) == decision


def test_a_group_with_one_alternative_needs_no_decision() -> None:
    selection = Selection.of([group({FUSED: (WHOLE,)})], {}, ESTIMATOR)
    assert selection.decisions({}, {"group0": FUSED}, ABOUT) == []
