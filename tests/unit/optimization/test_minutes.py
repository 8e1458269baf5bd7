"""A budget in minutes is kept however slow the machine is: everything that takes time moves a made-up clock on."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from flextune.apply.executable import Executable
from flextune.database.store import open_database
from flextune.importing.model import load_model
from flextune.optimization.model import OptimizedModel, competing_builds, optimize_model
from flextune.optimization.verdict import recorded_verdict
from flextune.plan.partition import Partition, partition_model
from flextune.platforms.null.kernel import null_secs
from flextune.target.detect import detect
from flextune.target.target import Target
from flextune.trial.measurement import Candidate, Measurement, Status
from flextune.tuning.budget import Budget
from flextune.tuning.tune_options import TuneOptions
from flextune.tvm_types import IRModule
from tests.unit.optimization.fake_models import FakeModel, FakeModels, Fate
from tests.unit.plan.layouts.nets import branching

MINUTE = 60.0


@dataclass
class Clock:
    """Of a machine that takes so many times longer for everything."""

    load: float
    now: float = 1000.0

    def __call__(self) -> float:
        return self.now

    def spend(self, secs: float) -> None:
        self.now += self.load * secs


class SlowRunner:
    """A `Runner` that needs a second for a trial, and leaves out what there is no time for."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def measure(
        self, candidates: Sequence[Candidate], incumbent_secs: float = math.inf, secs: float = math.inf
    ) -> Iterator[Measurement]:
        deadline = self._clock() + secs
        for candidate in candidates:
            self._clock.now = min(self._clock.now + self._clock.load, max(deadline, self._clock.now))
            if self._clock.now >= deadline:
                return
            yield Measurement(candidate.assignment, Status.OK, (null_secs(candidate.assignment),))

    def compare(self, candidates: Sequence[Candidate], rounds: int, secs: float = math.inf) -> list[Measurement]:
        raise AssertionError("finalists of a model are compared inside it")


class SlowModels(FakeModels):
    """A `ModelRunner` whose builds take three seconds, and what is tuned half as long as the default to run."""

    def __init__(self, clock: Clock, run_secs: float) -> None:
        super().__init__(Fate())
        self._clock, self._run_secs = clock, run_secs

    def write(self, kernels: IRModule, target: Target, folder: Path, part: int = 0) -> Sequence[Path]:
        self._clock.spend(1.0)
        return super().write(kernels, target, folder, part)

    def open(self, executable: Executable) -> FakeModel:
        for known in self.opened:
            if known.executable is executable:
                return known
        self._clock.spend(2.0)
        secs = self._run_secs if not self.opened else self._run_secs / 2
        self.opened.append(SlowModel(executable, secs, self._clock))
        return self.opened[-1]


class SlowModel(FakeModel):
    """See `OpenedModel`."""

    def __init__(self, executable: Executable, secs: float, clock: Clock) -> None:
        super().__init__(executable, Fate(clock.load * secs))
        self._clock, self._secs = clock, secs

    def run_secs(self) -> float:
        self._clock.spend(2 * max(self._secs, 0.01))
        return super().run_secs()

    def kernel_secs(self, runs: int) -> Mapping[str, tuple[float, ...]]:
        self._clock.spend((runs + 1) * self._secs)
        return super().kernel_secs(runs)


@pytest.fixture(scope="module")
def partition(tmp_path_factory: pytest.TempPathFactory) -> Partition:
    path = tmp_path_factory.mktemp("model") / "net.onnx"
    path.write_bytes(branching(24).SerializeToString())
    return partition_model(load_model(path))


def optimized(
    partition: Partition, db: Path, clock: Clock, run_secs: float, monkeypatch: pytest.MonkeyPatch
) -> OptimizedModel:
    monkeypatch.setattr(time, "perf_counter", clock)
    options = TuneOptions(Budget(minutes=1), strategy="random")
    with open_database(str(db)) as database:
        models = SlowModels(clock, run_secs)
        return optimize_model(partition, detect(), options, database, models=models, runner=SlowRunner(clock))


@pytest.mark.parametrize(
    ("load", "run_secs", "is_cut"), [(1, 0.01, False), (1, 1.0, None), (3, 0.01, None), (3, 1.0, None), (8, 0.1, True)]
)
def test_the_minutes_are_kept_and_what_could_not_be_compared_is_not_decided(
    partition: Partition,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    load: float,
    run_secs: float,
    is_cut: bool | None,
) -> None:
    clock = Clock(load)
    began = clock.now
    found = optimized(partition, tmp_path / "records.db", clock, run_secs, monkeypatch)
    assert clock.now - began <= 1.1 * MINUTE + 5
    assert found.build is not None
    assert found.is_tuned or found.is_cut
    assert is_cut in (None, found.is_cut)
    with open_database(str(tmp_path / "records.db")) as database:
        assert (recorded_verdict(partition, database, detect()) is None) == found.is_cut


@pytest.mark.parametrize(("minutes", "build_secs", "builds"), [(None, 9.0, 3), (1, 2.0, 3), (1, 4.0, 2), (2, 4.0, 3)])
def test_finalists_compete_in_fewer_builds_where_these_would_fill_the_minutes(
    minutes: float | None, build_secs: float, builds: int
) -> None:
    options = TuneOptions(Budget(trials=10) if minutes is None else Budget(minutes=minutes))
    assert competing_builds(options, build_secs) == builds
