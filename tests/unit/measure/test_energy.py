"""Energy of real kernels in worker processes, from made-up counters."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from flextune.measure.measure_options import MeasureOptions
from flextune.measure.worker_pool import WorkerPool
from flextune.platforms import platform_registry
from flextune.quantities import JOULES_PER_CALL
from flextune.target import energy
from flextune.target.detect import detect
from flextune.trial.measurement import Candidate, Measurement
from flextune.workload.parse import parse_workload

pytestmark = [pytest.mark.xdist_group("workers"), pytest.mark.hardware("x86")]

LIMIT = 262_143_328_850
MICROJOULES_PER_SEC2 = 20e6


@contextmanager
def rising_power(folder: Path) -> Iterator[None]:
    """A counter of a machine whose power rises by 20 W in every second, so that rest, which is read first, is least."""
    package, over, began = folder / "intel-rapl:0", threading.Event(), time.monotonic()
    package.mkdir(parents=True)
    (package / "name").write_text("package-0\n")
    (package / "max_energy_range_uj").write_text(f"{LIMIT}\n")

    def count() -> None:
        spent = time.monotonic() - began
        (package / "new").write_text(f"{round(MICROJOULES_PER_SEC2 / 2 * spent * spent) % (LIMIT + 1)}\n")
        (package / "new").replace(package / "energy_uj")

    def run() -> None:
        while not over.wait(0.001):
            count()

    count()
    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def compared() -> list[Measurement]:
    workload, target = parse_workload("gemm:m=24,n=32,k=16"), detect()
    space = platform_registry.get("x86").search_space(workload, target)
    with WorkerPool(MeasureOptions(workers=1, repeats=2), target.cores) as pool:
        return pool.compare([Candidate(workload, target, space.trace, space.default)], rounds=2)


@pytest.fixture
def counters(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("FLEXTUNE_POWERCAP", str(tmp_path / "powercap"))
    energy.meter.cache_clear()
    yield tmp_path / "powercap"
    energy.meter.cache_clear()


def test_finalists_say_what_a_call_takes(counters: Path) -> None:
    with rising_power(counters):
        began = time.monotonic()
        (found,) = compared()
        most_watts = MICROJOULES_PER_SEC2 * 1e-6 * (time.monotonic() - began + 1)
    joules = dict(found.metrics)[JOULES_PER_CALL]
    assert 0 < joules < most_watts * max(found.run_secs) * 2


def test_without_counters_nothing_is_said(counters: Path) -> None:
    (found,) = compared()
    assert found.metrics == ()
