from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from flextune.errors import EnvironmentFault, UsageError
from flextune.target import peaks as peaks_module
from flextune.target.detect import detect
from flextune.target.kind import Cache
from flextune.target.peak_loops import PeakLoop
from flextune.target.peak_measurement import Repeat, _agree, _repeat, cached_bytes
from flextune.target.peaks import Peaks, check_runs_here, measure_in_subprocess, measured_peaks, peaks_within
from flextune.target.target import Target

ZEN4 = Target.parse("x86:znver4,cores=2")
QUIET = Peaks(2e11, 4e11, 8e11, 3e10)
DISTURBED = Peaks(1e11, 2e11, 9e11, 1e10, quiet=False)


class Measurer:
    """Hands out prepared peaks, and counts how often it was asked."""

    def __init__(self, *answers: Peaks) -> None:
        self.answers: Iterator[Peaks] = iter(answers)
        self.calls = 0

    def __call__(self, target: Target) -> Peaks:
        self.calls += 1
        return next(self.answers)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FLEXTUNE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_measured_once(cache: Path) -> None:
    measure = Measurer(QUIET)
    assert measured_peaks(ZEN4, measure=measure) == QUIET
    assert measured_peaks(ZEN4, measure=measure) == QUIET
    assert measure.calls == 1
    assert len(list(cache.glob("peaks-*.json"))) == 1


def test_memory_is_no_part_of_what_is_cached_but_cores_are() -> None:
    measure = Measurer(QUIET, DISTURBED)
    measured_peaks(ZEN4, measure=measure)
    assert measured_peaks(Target.parse(f"{ZEN4.key},memory=5000"), measure=measure) == QUIET
    assert measured_peaks(Target.parse("x86:znver4,cores=1"), measure=measure) == DISTURBED


def test_remeasure_forgets_what_was_known() -> None:
    lower = Peaks(1e11, 2e11, 4e11, 1e10)
    measure = Measurer(QUIET, lower)
    measured_peaks(ZEN4, measure=measure)
    assert measured_peaks(ZEN4, remeasure=True, measure=measure) == lower
    assert measured_peaks(ZEN4, measure=measure) == lower


def minutes_pass(cache: Path) -> None:
    for path in cache.glob("peaks-*.json"):
        os.utime(path, (path.stat().st_atime, path.stat().st_mtime - 3600))


def test_disturbed_measurement_is_taken_again_until_a_quiet_one_replaces_it(cache: Path) -> None:
    other = Peaks(3e11, 1e11, 1e11, 1e10, quiet=False)
    measure = Measurer(DISTURBED, other, QUIET)
    assert measured_peaks(ZEN4, measure=measure) == DISTURBED
    assert measured_peaks(ZEN4, measure=measure) == DISTURBED
    minutes_pass(cache)
    assert measured_peaks(ZEN4, measure=measure) == Peaks(3e11, 2e11, 9e11, 1e10, quiet=False)
    minutes_pass(cache)
    assert measured_peaks(ZEN4, measure=measure) == QUIET
    assert measured_peaks(ZEN4, measure=measure) == QUIET
    assert measure.calls == 3


def test_always_disturbed_host_is_believed_after_a_few_times(cache: Path) -> None:
    measure = Measurer(*[DISTURBED] * 10)
    for _ in range(10):
        minutes_pass(cache)
        assert measured_peaks(ZEN4, measure=measure) == DISTURBED
    assert measure.calls == 3


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: "",
        lambda text: text[: len(text) // 2],
        lambda text: "[]",
        lambda text: json.dumps(json.loads(text) | {"version": 0}),
        lambda text: json.dumps(json.loads(text) | {"target": "x86:cpu=other"}),
        lambda text: json.dumps(json.loads(text) | {"peaks": {}}),
        lambda text: text.replace("200000000000.0", "-1.0"),
        lambda text: text.replace("200000000000.0", "NaN"),
        lambda text: text.replace("200000000000.0", '"fast"'),
    ],
)
def test_damaged_cache_is_measured_anew(cache: Path, damage: Callable[[str], str]) -> None:
    measured_peaks(ZEN4, measure=Measurer(DISTURBED, QUIET))
    measured_peaks(ZEN4, remeasure=True, measure=Measurer(QUIET))
    (path,) = cache.glob("peaks-*.json")
    damaged = damage(path.read_text())
    assert damaged != path.read_text()
    path.write_text(damaged)
    measure = Measurer(QUIET)
    assert measured_peaks(ZEN4, measure=measure) == QUIET
    assert measure.calls == 1
    assert measured_peaks(ZEN4, measure=measure) == QUIET


def test_cache_that_is_not_text_is_measured_anew(cache: Path) -> None:
    measured_peaks(ZEN4, measure=Measurer(QUIET))
    (path,) = cache.glob("peaks-*.json")
    path.write_bytes(b"\xff\xfe\x00")
    assert measured_peaks(ZEN4, measure=Measurer(QUIET)) == QUIET


def test_cache_that_cannot_be_written_is_a_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("FLEXTUNE_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.warns(UserWarning, match="FLEXTUNE_CACHE"):
        assert measured_peaks(ZEN4, measure=Measurer(QUIET)) == QUIET


def test_failed_write_leaves_no_files(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(peaks_module.os, "replace", full)
    with pytest.warns(UserWarning, match="No space left"):
        measured_peaks(ZEN4, measure=Measurer(QUIET))
    assert [path.suffix for path in cache.iterdir()] == [".lock"]


def test_peaks_by_dtype() -> None:
    assert [QUIET.for_dtype(dtype) for dtype in ("float32", "bfloat16", "uint8", "int8")] == [2e11, 4e11, 8e11, 8e11]
    with pytest.raises(UsageError, match="float64"):
        QUIET.for_dtype("float64")


def test_caches_have_rates_of_their_own(cache: Path) -> None:
    """A level that was not measured is no slower than memory, and what is kept comes back."""
    known = Peaks(1e11, 2e11, 4e11, 1e10, (("l1", 9e10), ("l2", 5e9)))
    assert [known.bytes_per_sec(level) for level in ("l1", "l2", "l3", "memory")] == [9e10, 1e10, 1e10, 1e10]
    assert measured_peaks(ZEN4, measure=Measurer(known)) == known
    assert measured_peaks(ZEN4, measure=Measurer()) == known
    assert known.merge(Peaks(1e11, 2e11, 4e11, 1e10, (("l2", 6e9),))).cache_bytes_per_sec == (("l1", 9e10), ("l2", 6e9))
    with pytest.raises(UsageError, match="cache l1"):
        Peaks(1e11, 2e11, 4e11, 1e10, (("l1", 0.0),))


def test_a_measurement_that_was_given_up_is_tried_again_with_more_time_or_later(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[float] = []

    def too_long(target: Target, secs: float) -> Peaks:
        given.append(secs)
        raise EnvironmentFault("it takes longer")

    monkeypatch.setattr(peaks_module, "detect", lambda: ZEN4)
    monkeypatch.setattr(peaks_module, "measure_in_subprocess", too_long)
    assert [peaks_within(ZEN4, secs) for secs in (9.0, 9.0, 4.0, 12.0, 9.0)] == [None] * 5
    assert given == [9.0, 12.0]
    (path,) = cache.glob("*.given-up")
    os.utime(path, (0, 0))
    monkeypatch.setattr(peaks_module, "measure_in_subprocess", lambda target, secs: QUIET)
    assert peaks_within(ZEN4, 9.0) == QUIET


def test_each_level_of_caches_is_read_where_it_begins() -> None:
    read = PeakLoop(lambda address, trips: None, work_per_trip=512, memory_bytes=1 << 26, streams=True)
    levels = [Cache("l1", 48 << 10, True), Cache("l2", 2 << 20, True), Cache("l3", 480 << 20, False)]
    assert cached_bytes(levels, 2, read) == {"l1": 24 << 10, "l2": 192 << 10, "l3": 8 << 20}
    assert cached_bytes([*levels[:2], Cache("l3", 4 << 20, False)], 2, read) == {"l1": 24 << 10, "l2": 192 << 10}


def test_rates_are_positive() -> None:
    with pytest.raises(UsageError, match="int8_ops"):
        Peaks(1e11, 1e11, 0.0, 1e10)


@pytest.mark.parametrize(
    ("text", "reason"),
    [("x86:sapphirerapids,cores=2", "amx"), ("x86:znver4,cores=4", "2 cores"), ("null:cpu=none,cores=1", "kind x86")],
)
def test_only_targets_that_run_here(text: str, reason: str) -> None:
    with pytest.raises(UsageError, match=reason):
        check_runs_here(Target.parse(text), ZEN4)


def test_lesser_targets_run_here() -> None:
    check_runs_here(Target.parse("x86:avx2-generic,cores=1"), ZEN4)


def test_repeat_spans_all_cores() -> None:
    repeat = _repeat([(1.0, 3.0, 2.0), (1.5, 3.5, 1.0)])
    assert (repeat.secs, repeat.busy_share) == (2.5, 3.0 / 5.0)
    assert 2.0 / repeat.busy_secs == pytest.approx(1.0 / 2.0 + 1.0 / 1.0)


@pytest.mark.parametrize(
    ("repeats", "agree"),
    [
        ([Repeat(1.0, 1.0, 1.0), Repeat(1.005, 0.5, 1.0), Repeat(1.009, 1.0, 1.0), Repeat(9.0, 1.0, 1.0)], True),
        ([Repeat(1.0, 1.0, 1.0), Repeat(1.005, 1.0, 1.0), Repeat(1.02, 1.0, 1.0)], False),
        ([Repeat(1.0, 0.5, 1.0), Repeat(1.0, 0.5, 1.0), Repeat(1.0, 0.5, 1.0)], False),
    ],
)
def test_repeats_agree(repeats: list[Repeat], agree: bool) -> None:
    assert _agree(repeats) is agree


def test_process_that_fails_is_an_environment_fault(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(peaks_module, "detect", lambda: ZEN4)
    failing = tmp_path / "python"
    failing.write_text("#!/bin/sh\necho Illegal instruction >&2\nexit 132\n")
    failing.chmod(0o755)
    monkeypatch.setattr(peaks_module.sys, "executable", str(failing))
    with pytest.raises(EnvironmentFault, match="132: Illegal instruction"):
        measure_in_subprocess(ZEN4)


@pytest.mark.slow
@pytest.mark.hardware("x86")
@pytest.mark.xdist_group("measure")
def test_this_host_is_measured_sanely(cache: Path) -> None:
    peaks = measured_peaks(detect())
    assert 1e9 < peaks.float32_flops < 1e15
    if peaks.quiet:  # else one rate may have met what another did not
        assert peaks.bfloat16_flops >= 0.5 * peaks.float32_flops
        assert peaks.int8_ops > 0.5 * peaks.float32_flops
    assert 1e8 < peaks.memory_bytes_per_sec < 1e13
    assert len(list(cache.glob("peaks-*.json"))) == 1
