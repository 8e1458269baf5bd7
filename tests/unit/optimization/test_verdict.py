"""What a run came to for the whole model, and the builds that follow from it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from flextune.apply.build import Build
from flextune.cli import models
from flextune.cli.models import build_to_ship
from flextune.database.store import open_database
from flextune.importing.model import load_model
from flextune.lowering.precision.precision import Precision
from flextune.optimization.in_turns import Outcome
from flextune.optimization.verdict import recorded_verdict, verdict
from flextune.plan.partition import Partition, partition_model
from flextune.target.detect import detect
from flextune.trial.decision import Decision, Shipped
from tests.unit.plan.layouts.nets import branching

FASTER = Outcome(2, (2e-3, 1.9e-3, 1.5e-3), 12)
NOT_SHOWN = Outcome(0, (2e-3, 1.9e-3, 2.1e-3), 40)
ALONE = Outcome(0, (2e-3,), 0)


@pytest.fixture(scope="module")
def partition(tmp_path_factory: pytest.TempPathFactory) -> Partition:
    path = tmp_path_factory.mktemp("model") / "net.onnx"
    path.write_bytes(branching(24).SerializeToString())
    return partition_model(load_model(path))


@pytest.mark.parametrize(
    ("found", "chosen", "tuned_secs", "reason"),
    [
        (FASTER, Shipped.TUNED, 1.5e-3, "2.000 ms by default, 1.500 ms tuned, 12 rounds"),
        (NOT_SHOWN, Shipped.DEFAULT, 1.9e-3, "not shown to be faster"),
        (ALONE, Shipped.DEFAULT, None, "no other build"),
    ],
)
def test_the_latest_verdict_is_found_again(
    partition: Partition, tmp_path: Path, found: Outcome, chosen: Shipped, tuned_secs: float | None, reason: str
) -> None:
    decision, faster = (verdict(partition, detect(), each, None) for each in (found, FASTER))
    assert decision is not None
    assert faster is not None
    assert reason in decision.reason
    assert (decision.default_secs, decision.tuned_secs) == (2e-3, tuned_secs)
    assert Decision.from_json(decision.to_json()) == decision
    with open_database(str(tmp_path / "records.db")) as database:
        assert recorded_verdict(partition, database, detect()) is None
        database.decide([faster, decision])
        assert recorded_verdict(partition, database, detect()) == chosen
        assert recorded_verdict(replace(partition, precision=Precision("bfloat16")), database, detect()) is None
        assert recorded_verdict(replace(partition, switcher=None), database, detect()) is None


def test_a_model_that_branches_has_no_verdict(partition: Partition) -> None:
    assert verdict(replace(partition, switcher=None), detect(), FASTER, None) is None


@pytest.mark.parametrize(
    ("known", "timed", "shipped"),
    [(Shipped.TUNED, 0, "tuned"), (Shipped.DEFAULT, 0, "default"), (None, 0, "default"), (None, 1, "tuned")],
)
def test_a_known_verdict_is_followed_without_timing(
    partition: Partition, monkeypatch: pytest.MonkeyPatch, known: Shipped | None, timed: int, shipped: str
) -> None:
    class FakeBuild:
        def __init__(self, name: str) -> None:
            self.name = self.executable = name

    def build(_partition: Partition, schedules: dict[str, object], _target: object) -> FakeBuild:
        return FakeBuild("tuned" if schedules else "default")

    compared: list[object] = []

    def compare(executables: object, _limits: object) -> Outcome:
        compared.append(executables)
        return Outcome(timed, (1.0, 1.0), 8)

    monkeypatch.setattr(models, "compile_model", build)
    monkeypatch.setattr(models, "compare", compare)
    found: Build = build_to_ship(partition, partition, {"key": None}, detect(), known)  # type: ignore[dict-item]
    assert found.executable == shipped  # type: ignore[comparison-overlap]
    assert compared == ([] if known else [["default", "tuned"]])
