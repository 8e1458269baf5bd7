"""A whole model tuned where nothing runs: kernels take made-up times, and builds of the model meet made-up fates."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from flextune.database.store import open_database
from flextune.errors import BuildError
from flextune.importing.model import load_model
from flextune.optimization.model import OptimizedModel, optimize_model
from flextune.optimization.shipping import ship
from flextune.optimization.verdict import recorded_verdict
from flextune.plan.partition import Partition, partition_model
from flextune.platforms.null.kernel import null_secs
from flextune.target.detect import detect
from flextune.trial.decision import Shipped, Verdict
from flextune.trial.measurement import Candidate, Measurement, Status
from flextune.trial.record import Evidence
from flextune.tuning.budget import Budget
from flextune.tuning.tune_options import TuneOptions
from tests.unit.optimization.fake_models import CRASHED, HUNG, WRONG, FakeModels, Fate
from tests.unit.plan.layouts.nets import branching

pytestmark = pytest.mark.xdist_group("fake models")  # whose builds have their kernels in common


class MadeUpRunner:
    """A `Runner` on which every candidate runs, in a time that its assignment decides."""

    def measure(
        self, candidates: Sequence[Candidate], incumbent_secs: float = math.inf, secs: float = math.inf
    ) -> Iterator[Measurement]:
        for candidate in candidates:
            yield Measurement(candidate.assignment, Status.OK, (null_secs(candidate.assignment),))

    def compare(self, candidates: Sequence[Candidate], rounds: int, secs: float = math.inf) -> list[Measurement]:
        return [Measurement(each.assignment, Status.OK, (null_secs(each.assignment),) * rounds) for each in candidates]


@pytest.fixture(scope="module")
def partition(tmp_path_factory: pytest.TempPathFactory) -> Partition:
    path = tmp_path_factory.mktemp("model") / "net.onnx"
    path.write_bytes(branching(24).SerializeToString())
    return partition_model(load_model(path), without=["layouts"])


def optimized(partition: Partition, db: Path, models: FakeModels) -> OptimizedModel:
    options = TuneOptions(Budget(trials=40), strategy="random")
    with open_database(str(db)) as database:
        return optimize_model(partition, detect(), options, database, models=models, runner=MadeUpRunner())


@pytest.mark.parametrize(
    ("fates", "tuned", "failures"),
    [
        ((Fate(1.0), Fate(0.5)), True, set()),
        ((Fate(1.0), Fate(2.0)), False, set()),
        ((Fate(1.0), Fate(1.0)), False, set()),
        ((Fate(1.0), Fate(0.5, WRONG)), False, {WRONG}),
        ((Fate(1.0), Fate(0.5, CRASHED)), False, {CRASHED}),
        ((Fate(1.0), Fate(0.5, HUNG)), False, {HUNG}),
        ((Fate(1.0), Fate(0.5, HUNG, after=9)), False, {HUNG}),
        ((Fate(1.0), Fate(0.3, WRONG), Fate(0.5)), True, {WRONG}),
    ],
)
def test_what_ships_is_faster_and_right_or_the_default(
    partition: Partition, tmp_path: Path, fates: tuple[Fate, ...], tuned: bool, failures: set[object]
) -> None:
    db = tmp_path / "records.db"
    models = FakeModels(*fates)
    found = optimized(partition, db, models)
    assert found.is_tuned is tuned
    assert found.build is not None
    shipped = next(model for model in models.opened if model.executable is found.build.executable)
    assert shipped.failure is None
    assert (shipped is models.opened[0]) is not tuned
    assert {failed.failure for failed in found.failures} == failures
    assert found.default_secs == 1.0
    with open_database(str(db)) as database:
        expected = Shipped.TUNED if tuned else Shipped.DEFAULT
        assert recorded_verdict(partition, database, detect()) is expected
        assert ship(partition, detect(), database, FakeModels(Fate(failure=CRASHED))).shipped is expected
        inside = [record for record in database.records() if record.evidence is Evidence.IN_MODEL]
    assert all(record.status is Status.OK for record in inside)
    assert bool(inside) is any(fate.failure is None or fate.after for fate in fates[1:])


def test_a_default_build_that_fails_ends_the_run_before_anything_is_tuned(partition: Partition, tmp_path: Path) -> None:
    with pytest.raises(BuildError, match="with default schedules: wrong_output"):
        optimized(partition, tmp_path / "records.db", FakeModels(Fate(failure=WRONG)))
    with open_database(str(tmp_path / "records.db")) as database:
        assert database.records() == []


def test_another_run_goes_on_from_the_records(partition: Partition, tmp_path: Path) -> None:
    db = tmp_path / "records.db"
    first = optimized(partition, db, FakeModels(Fate(1.0), Fate(0.5)))
    second = optimized(partition, db, FakeModels(Fate(1.0), Fate(2.0)))
    assert second.tasks.trials >= first.tasks.trials
    assert not second.is_tuned
    with open_database(str(db)) as database:
        assert recorded_verdict(partition, database, detect()) is Shipped.DEFAULT


def test_a_verdict_has_the_energy_of_both_builds(partition: Partition, tmp_path: Path) -> None:
    db = tmp_path / "records.db"
    optimized(partition, db, FakeModels(Fate(1.0, watts=20.0), Fate(0.5, watts=30.0)))
    with open_database(str(db)) as database:
        (found,) = database.decisions(Verdict)
    assert (found.default_joules, found.tuned_joules) == (20.0, 15.0)
    assert Verdict.from_json(found.to_json()) == found
    assert found.details == ("energy of a run above rest: default 20 J, tuned 15 J",)
