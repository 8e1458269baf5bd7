"""Bounds from operations and bytes, and the printed table."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from flextune.analysis.report import analyze
from flextune.analysis.roofline import roofline
from flextune.analysis.table import render_table
from flextune.platforms.estimator import TargetEstimator
from flextune.target.peaks import Peaks
from flextune.target.target import Target
from flextune.workload import parse_workload
from flextune.workload.work import Work

PEAKS = Peaks(float32_flops=1e12, bfloat16_flops=2e12, int8_ops=4e12, memory_bytes_per_sec=1e10)
TARGET = Target.parse("x86:znver3,cores=2")


def bound_of(text: str, peaks: Peaks = PEAKS):
    return bound_for(analyze(parse_workload(text).prim_func()), peaks)


def bound_for(analysis, peaks: Peaks = PEAKS):
    work = Work(analysis.flops, analysis.bytes, analysis.dtype)
    return roofline(analysis, TARGET, peaks, TargetEstimator(TARGET, peaks).cost(work))


def test_a_large_gemm_is_limited_by_compute() -> None:
    bound = bound_of("gemm:m=1024,n=1024,k=1024")
    assert bound.limited_by == "compute"
    assert bound.bound_secs == pytest.approx(2 * 1024**3 / 1e12)
    assert bound.memory_secs == pytest.approx(3 * 4 * 1024**2 / 1e10)
    assert bound.ridge_intensity == 100


def test_the_peak_is_that_of_the_dtype() -> None:
    assert bound_of("gemm:m=64,n=64,k=64,dtype=uint8").peak_flops == 4e12
    assert bound_of("gemm:m=64,n=64,k=64,dtype=bfloat16").peak_flops == 2e12


def test_an_elementwise_chain_is_limited_by_memory() -> None:
    bound = bound_of("elementwise:shape=1024x1024,ops=add+relu")
    assert bound.limited_by == "memory"
    assert bound.bound_secs == pytest.approx(3 * 4 * 1024**2 / 1e10)


@pytest.mark.parametrize(("elements", "cache"), [(64, "l1"), (65536, "l2"), (1 << 20, "l3"), (1 << 24, "memory")])
def test_the_smallest_cache_that_holds_the_data(elements: int, cache: str) -> None:
    assert bound_of(f"elementwise:shape={elements},ops=relu").fits == cache


def test_what_fits_a_cache_moves_at_its_rate() -> None:
    """The bound of a program that runs again and again is below what it takes from memory."""
    caches = (("l1", 8e10), ("l2", 4e10))
    peaks = replace(PEAKS, cache_bytes_per_sec=caches)
    for elements, rate in ((64, 8e10), (65536, 4e10), (1 << 20, 1e10), (1 << 24, 1e10)):
        bound = bound_of(f"elementwise:shape={elements},ops=relu", peaks)
        assert bound.memory_secs == pytest.approx(2 * 4 * elements / rate)
        assert bound.ridge_intensity == pytest.approx(1e12 / rate)


def test_table_shows_loops_reuse_and_bound() -> None:
    analysis = analyze(parse_workload("gemm:m=32,n=16,k=8,epilogue=relu").prim_func())
    bound = bound_for(analysis)
    text = render_table(analysis, bound)
    assert "graph        2 blocks, 1 edges, A, B -> relu" in text
    assert "block gemm: 2 spatial and 1 reduce loops, 4.096 k trips" in text
    assert "limited by memory" in text
    assert any(line.split()[:3] == ["k", "8", "reduce"] for line in text.splitlines())
    assert json.loads(json.dumps(bound.as_dict()))["limited_by"] == "memory"
    assert "roofline" not in render_table(analysis)
