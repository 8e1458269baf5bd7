"""The one estimate: what every part of flextune is told that something takes."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from flextune.platforms import platform_registry
from flextune.platforms.estimator import TargetEstimator, host_plan_estimator, plan_estimator
from flextune.target.kinds import scale_of
from flextune.target.peaks import Peaks
from flextune.target.target import Target, known_devices
from flextune.trial.cost import CostOrigin, Unit
from flextune.workload.parse import parse_workload
from flextune.workload.work import Work

PEAKS = Peaks(float32_flops=1e12, bfloat16_flops=2e12, int8_ops=4e12, memory_bytes_per_sec=1e10)
WIDE, NARROW = Target.parse("x86:znver4"), Target.parse("x86:znver3")
SMALL, LARGE = (parse_workload(f"gemm:m={size},n={size},k={size}") for size in (64, 512))


@pytest.mark.parametrize("device", [*known_devices(), "null:cpu=any,cores=1"])
@pytest.mark.parametrize("peaks", [None, PEAKS])
def test_more_takes_longer_on_every_platform(device: str, peaks: Peaks | None) -> None:
    target = Target.parse(device)
    estimator = TargetEstimator(target, peaks)
    assert 0 < estimator.launch_secs < estimator.workload_secs(SMALL) < estimator.workload_secs(LARGE) < math.inf
    cost = estimator.cost(Work.of(SMALL))
    unit = Unit.CYCLES if scale_of(target).unit is Unit.CYCLES else Unit.SECONDS  # where there is no clock
    assert (cost.unit, cost.origin) == (unit, CostOrigin.MODELLED)


def test_measured_peaks_are_the_rates() -> None:
    cost = TargetEstimator(WIDE, PEAKS).cost(Work(operations=2e9, bytes=3e7, dtype="bfloat16"))
    assert (cost.compute, cost.memory) == pytest.approx((1e-3, 3e-3))


def test_a_dtype_without_a_peak_is_estimated_by_its_bytes() -> None:
    assert TargetEstimator(WIDE, PEAKS).cost(Work(1e9, 1e7, "float64")).compute == 0.0


def test_the_last_vector_takes_as_long_as_a_whole_one() -> None:
    def secs(target: Target, columns: int) -> float:
        return TargetEstimator(target, PEAKS).cost(Work(operations=1e9 * columns, columns=columns)).compute

    assert secs(WIDE, 17) == pytest.approx(secs(WIDE, 32))
    assert secs(NARROW, 17) == pytest.approx(secs(NARROW, 24))


def test_without_peaks_wide_vectors_compute_faster() -> None:
    work = Work(operations=1e9)
    wide, narrow = (plan_estimator(target).cost(work).compute for target in (WIDE, NARROW))
    assert narrow == pytest.approx(2 * wide)


def test_plans_are_the_same_for_any_number_of_cores() -> None:
    assert plan_estimator(WIDE) == plan_estimator(Target.parse("x86:znver4,cores=64"))
    one, many = (TargetEstimator(Target.parse(f"x86:znver4,cores={cores}")).launch_secs for cores in (1, 8))
    assert one < many


def test_plans_of_no_target_are_for_this_machine() -> None:
    assert host_plan_estimator().secs(Work.of(SMALL)) > 0


def test_a_platform_estimates_for_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    null = platform_registry.get("null")
    cost = null.estimate(Work(), Target.parse("null:cpu=any,cores=1"))
    monkeypatch.setattr(type(null), "estimate", lambda *_: replace(cost, memory=7.0))
    assert TargetEstimator(Target.parse("null:cpu=any,cores=1")).secs(Work()) == pytest.approx(7.0, abs=1e-3)
