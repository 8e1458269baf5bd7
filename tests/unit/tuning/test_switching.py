"""Choosing among the options of a group: prediction prunes, measurement decides, reasons are kept."""

from __future__ import annotations

import pytest

from flextune.plan.options import GroupOption, GroupOptions
from flextune.platforms.estimator import TargetEstimator
from flextune.target.target import Target
from flextune.trial.decision import GroupDecision
from flextune.tuning.switching import Circumstances, Switching
from flextune.workload.parse import parse_workload
from flextune.workload.workload import Workload

ESTIMATOR = TargetEstimator(Target.parse("null:cpu=any,cores=2"))
ABOUT = Circumstances("a model", "x86:test", "in the model")


def workload(size: int) -> Workload:
    return parse_workload(f"gemm:m={size},n={size},k={size}")


FUSED, LEFT, RIGHT, OTHER, HUGE = (workload(size) for size in (64, 48, 40, 56, 512))


def group(*options: GroupOption, count: int = 3, kind: str = "group0") -> GroupOptions:
    return GroupOptions(kind, FUSED.key, "matmul + add", "matmul", count, options)


ALL = (
    GroupOption("fused", (FUSED,)),
    GroupOption("parts", (LEFT, RIGHT)),
    GroupOption("other", (OTHER,)),
    GroupOption("huge", (HUGE,)),
)


def test_an_option_that_is_predicted_to_be_far_slower_is_not_measured() -> None:
    switching = Switching.of([group(*ALL)], {}, ESTIMATOR)
    assert [option.name for option in switching.measured["group0"]] == ["fused", "parts", "other"]
    assert {each.key for each in switching.workloads()} == {FUSED.key, LEFT.key, RIGHT.key, OTHER.key}


def test_a_group_that_hardly_counts_keeps_its_fused_kernel_unmeasured() -> None:
    large = GroupOptions("group1", HUGE.key, "matmul", "single", 1000, (GroupOption("fused", (HUGE,)),))
    switching = Switching.of([group(*ALL, count=1), large], {}, ESTIMATOR)
    assert [option.name for option in switching.measured["group0"]] == ["fused"]


def test_the_fastest_sum_is_chosen_and_launches_count() -> None:
    switching = Switching.of([group(*ALL)], {}, ESTIMATOR)
    secs = {FUSED.key: 100e-6, LEFT.key: 50e-6, RIGHT.key: 49.5e-6, OTHER.key: 120e-6}
    assert switching.choice(secs) == {"group0": "fused"}
    assert switching.choice({**secs, RIGHT.key: 30e-6}) == {"group0": "parts"}
    assert switching.option_secs(ALL[1], secs) == pytest.approx(99.5e-6 + 2 * ESTIMATOR.launch_secs)


def test_a_gain_within_chance_changes_nothing() -> None:
    switching = Switching.of([group(*ALL)], {}, ESTIMATOR)
    assert switching.choice({FUSED.key: 100e-6, OTHER.key: 99e-6}) == {"group0": "fused"}


def test_weights_count_calls_of_what_is_in_the_running() -> None:
    switching = Switching.of([group(*ALL, count=4)], {"elsewhere": 2.0}, ESTIMATOR)
    weights = switching.weights({FUSED.key: 100e-6, LEFT.key: 300e-6, RIGHT.key: 10e-6, OTHER.key: 110e-6})
    assert weights[FUSED.key] == 4
    assert 0 < weights[OTHER.key] < 4
    assert LEFT.key not in weights
    assert weights["elsewhere"] == 2


def test_before_anything_is_measured_every_option_is_in_the_running() -> None:
    weights = Switching.of([group(*ALL)], {}, ESTIMATOR).weights({})
    assert set(weights) == {FUSED.key, LEFT.key, RIGHT.key, OTHER.key}


def test_a_decision_keeps_both_measurements_and_its_reason() -> None:
    switching = Switching.of([group(*ALL)], {}, ESTIMATOR)
    secs = {FUSED.key: 100e-6, LEFT.key: 50e-6, RIGHT.key: 30e-6, OTHER.key: 90e-6}
    (decision,) = switching.decisions(secs, switching.choice(secs), ABOUT)
    assert decision.chosen == "parts"
    assert decision.reason.startswith("in the model: 84.0 us against 92.0 us of other")
    assert {option.name: option.measured_secs is None for option in decision.options} == {
        "fused": False,
        "parts": False,
        "other": False,
        "huge": True,
    }
    assert GroupDecision.from_json(decision.to_json()) == decision


def test_a_group_with_one_option_needs_no_decision() -> None:
    switching = Switching.of([group(ALL[0])], {}, ESTIMATOR)
    assert switching.decisions({}, {"group0": "fused"}, ABOUT) == []
