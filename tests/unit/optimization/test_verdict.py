"""What a run came to for the whole model, and the builds that follow from it."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest

from flextune.apply.model_runner import Failure
from flextune.database.store import open_database
from flextune.importing.model import load_model
from flextune.lowering.precision.precision import Precision
from flextune.optimization.ab_test import ABTestResult
from flextune.optimization.contender import FailedBuild
from flextune.optimization.verdict import recorded_verdict, verdict
from flextune.plan.partition import Partition, partition_model
from flextune.target.detect import detect
from flextune.trial.decision import Decision, Shipped
from flextune.trial.measurement import Status
from tests.unit.plan.layouts.nets import branching

FASTER = ABTestResult(2, (2e-3, 1.9e-3, 1.5e-3), 12)
NOT_SHOWN = ABTestResult(0, (2e-3, 1.9e-3, 2.1e-3), 40)
ALONE = ABTestResult(0, (2e-3,), 0)


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
    partition: Partition, tmp_path: Path, found: ABTestResult, chosen: Shipped, tuned_secs: float | None, reason: str
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


def test_failures_are_kept_with_the_verdict(partition: Partition) -> None:
    failed = FailedBuild("with finalists 1 of every kernel", Failure(Status.WRONG_OUTPUT, "an output is off by 3"))
    decision = verdict(partition, detect(), ABTestResult(0, (2e-3, math.inf), 8), None, (failed,))
    assert decision is not None
    assert decision.shipped is Shipped.DEFAULT
    assert decision.tuned_secs is None
    assert decision.failures == ("with finalists 1 of every kernel: wrong_output: an output is off by 3",)
    assert Decision.from_json(decision.to_json()) == decision


def test_nothing_is_known_where_the_default_build_failed(partition: Partition) -> None:
    assert verdict(partition, detect(), ABTestResult(1, (math.inf, 2e-3), 8), None) is None
