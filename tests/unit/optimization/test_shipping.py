"""What is shipped of a model for the same records, through every door."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from typer.testing import CliRunner

import flextune
from flextune.apply.build import Origin, compile_model
from flextune.apply.compiled_file import read_signature
from flextune.cli.main import app
from flextune.database.database import Database
from flextune.database.store import open_database
from flextune.errors import BuildError, DatabaseError
from flextune.importing.model import load_model
from flextune.optimization import layouts, shipping
from flextune.optimization.ab_test import ABTestResult
from flextune.optimization.contender import Contest
from flextune.optimization.layouts import choose_layouts
from flextune.optimization.shipping import ship
from flextune.optimization.verdict import verdict
from flextune.plan.partition import Partition, partition_model
from flextune.target.detect import detect
from flextune.target.target import Target
from flextune.trial.decision import Shipped
from tests.kept_objects import KeptObjects
from tests.unit.optimization.fake_models import CRASHED, HUNG, WRONG, FakeModels, Fate
from tests.unit.plan.layouts.nets import branching

pytestmark = pytest.mark.xdist_group("fake models")  # whose builds have their kernels in common

FASTER, NOT_FASTER = ABTestResult(1, (2e-3, 1e-3), 8), ABTestResult(0, (1e-3, 2e-3), 8)


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "net.onnx"
    path.write_bytes(branching(24).SerializeToString())
    return path


@pytest.fixture(scope="module")
def partition(path: Path) -> Partition:
    return partition_model(load_model(path))


@pytest.fixture(scope="module")
def kernels(partition: Partition) -> dict[Shipped, tuple[str, ...]]:
    """What the model calls by default, and in the layouts that `decided` decides."""
    default = compile_model(partition, {}, detect(), writer=KeptObjects())
    with pytest.MonkeyPatch.context() as patch:
        tuned = compile_model(decided(partition, patch), {}, detect(), writer=KeptObjects())
    found = {Shipped.DEFAULT: default.executable.signature.kernels, Shipped.TUNED: tuned.executable.signature.kernels}
    assert found[Shipped.DEFAULT] != found[Shipped.TUNED]
    return found


def decided(partition: Partition, patch: pytest.MonkeyPatch, database: Database | None = None) -> Partition:
    """The model in other layouts than the default ones, and that decision in a database."""
    made_up = [layouts._Seconds(secs, 2.0, 0.0) for secs in (2.0, 1.0, 3.0)]
    patch.setattr(layouts, "_model_secs", lambda trials, *_: made_up[: len(trials)])
    contest = Contest(detect(), FakeModels(Fate()))
    choice = choose_layouts(partition, contest.first(partition), contest, None, math.inf)
    assert choice.decision is not None
    if database is not None:
        database.decide([choice.decision])
    return choice.partition


def recorded(partition: Partition, path: Path, found: ABTestResult | None) -> Path:
    """A database that holds layouts, and what came of comparing the model in them, if anything."""
    with open_database(str(path)) as database, pytest.MonkeyPatch.context() as patch:
        decided(partition, patch, database)
        if found is not None:
            last = verdict(partition, detect(), found, None)
            assert last is not None
            database.decide([last])
    return path


@pytest.mark.parametrize(("found", "shipped"), [(FASTER, Shipped.TUNED), (NOT_FASTER, Shipped.DEFAULT)])
def test_every_door_ships_what_tuning_came_to(
    path: Path,
    partition: Partition,
    kernels: dict[Shipped, tuple[str, ...]],
    tmp_path: Path,
    found: ABTestResult,
    shipped: Shipped,
) -> None:
    db = recorded(partition, tmp_path / "records.db", found)
    done = CliRunner().invoke(app, ["compile", str(path), "-o", str(tmp_path / "net.so"), "--db", str(db)])
    assert done.exit_code == 0, done.output
    assert read_signature(tmp_path / "net.so").kernels == kernels[shipped]
    assert flextune.optimize(path, minutes=0, database=db).signature.kernels == kernels[shipped]
    with open_database(str(db)) as database:
        assert flextune.optimize(path, minutes=0, database=database).signature.kernels == kernels[shipped]
        models = FakeModels(Fate(failure=CRASHED))
        assert ship(partition, detect(), database, models).shipped is shipped
        assert models.opened == []


@pytest.mark.parametrize(
    ("fate", "shipped", "reason"),
    [
        (Fate(0.5), Shipped.TUNED, "shown to be faster"),
        (Fate(2.0), Shipped.DEFAULT, "not shown to be faster"),
        (Fate(1.0), Shipped.DEFAULT, "not shown to be faster"),
        (Fate(0.5, WRONG), Shipped.DEFAULT, "wrong_output"),
        (Fate(0.5, CRASHED), Shipped.DEFAULT, "SIGSEGV"),
        (Fate(0.5, HUNG, after=5), Shipped.DEFAULT, "no end after"),
    ],
)
def test_records_that_were_never_compared_are_compared_now(
    partition: Partition, tmp_path: Path, fate: Fate, shipped: Shipped, reason: str
) -> None:
    db = recorded(partition, tmp_path / "records.db", None)
    with open_database(str(db)) as database:
        shipment = ship(partition, detect(), database, FakeModels(Fate(1.0), fate))
    assert shipment.shipped is shipped
    assert reason in shipment.reason


def test_a_default_build_that_fails_is_an_error(partition: Partition, tmp_path: Path) -> None:
    db = recorded(partition, tmp_path / "records.db", None)
    with open_database(str(db)) as database, pytest.raises(BuildError, match="with default schedules: run_error"):
        ship(partition, detect(), database, FakeModels(Fate(failure=CRASHED)))


def test_records_of_another_machine_are_followed(
    partition: Partition, kernels: dict[Shipped, tuple[str, ...]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    db = recorded(partition, tmp_path / "records.db", None)
    elsewhere = Target.parse("x86:avx2-generic")
    monkeypatch.setattr(shipping, "detect", lambda: elsewhere)
    with open_database(str(db)) as database:
        shipment = ship(partition, detect(), database)
    assert shipment.build.executable.signature.kernels == kernels[Shipped.TUNED]
    assert "another machine" in shipment.reason


def test_without_records_the_default_is_shipped(
    path: Path, partition: Partition, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLEXTUNE_DB", str(tmp_path / "none.db"))
    assert ship(partition, detect(), None).shipped is Shipped.DEFAULT
    shipment = ship(partition, detect(), None)
    assert {task.origin for task in shipment.build.tasks} <= {Origin.DEFAULT, Origin.IN_PLACE}
    flextune.optimize(path, minutes=0)
    assert not (tmp_path / "none.db").exists()
    with pytest.raises(DatabaseError):
        flextune.optimize(path, minutes=0, database=tmp_path / "named.db")
