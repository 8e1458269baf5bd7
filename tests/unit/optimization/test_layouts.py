"""The layouts of a model: proposed, measured in the model, recorded, and found again."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from flextune.database.store import open_database
from flextune.errors import UsageError
from flextune.importing.model import load_model
from flextune.lowering.precision.precision import Precision
from flextune.optimization import layouts
from flextune.optimization.contender import Contender, Contest
from flextune.optimization.layout_costs import LayoutCosts
from flextune.optimization.layouts import choose_layouts, layout_problem, layouts_of, plan_key, recorded_layouts
from flextune.plan.layouts.layout_assignment import ALL_NHWC, LayoutAssignment, LayoutPair
from flextune.plan.partition import Partition, partition_model
from flextune.plan.pass_list import pass_names
from flextune.platforms.estimator import TargetEstimator
from flextune.target.detect import detect
from flextune.testing.models import evaluate, random_array
from tests.unit.optimization.fake_models import CRASHED, HUNG, WRONG, FakeModels, Fate
from tests.unit.plan.layouts.nets import branching

pytestmark = pytest.mark.xdist_group("fake models")  # whose builds have their kernels in common


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "net.onnx"
    path.write_bytes(branching(24).SerializeToString())
    return path


@pytest.fixture(scope="module")
def partition(path: Path) -> Partition:
    return partition_model(load_model(path))


@pytest.fixture
def models() -> FakeModels:
    return FakeModels(Fate())


@pytest.fixture
def contest(models: FakeModels) -> Contest:
    return Contest(detect(), models)


@pytest.fixture
def default(partition: Partition, contest: Contest) -> Contender:
    return contest.first(partition)


def times(monkeypatch: pytest.MonkeyPatch, *secs: float) -> None:
    """Seconds of the model in each build, in place of measured ones."""
    found = [layouts._Seconds(each, secs[0], 0.0) for each in secs]
    monkeypatch.setattr(layouts, "_model_secs", lambda trials, *_: found[: len(trials)])


def test_the_faster_build_is_chosen_and_found_again(
    partition: Partition, default: Contender, contest: Contest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    times(monkeypatch, 2.0, 1.0, 3.0)
    choice = choose_layouts(partition, default, contest, None, math.inf)
    assert choice.decision is not None
    assert choice.decision.tried[1].layouts == choice.decision.chosen == choice.partition.layouts != ALL_NHWC
    assert "1000.00 ms against 2000.00 ms" in choice.decision.reason
    with open_database(str(tmp_path / "records.db")) as database:
        database.decide([choice.decision])
        assert recorded_layouts(partition, database, detect()) == choice.partition.layouts
    image = random_array(1, 1, 3, 24, 24)
    expected = evaluate(branching(24), {"x": image})
    np.testing.assert_allclose(
        choice.contender.build.executable.run({"x": image})["y"], expected[0], rtol=1e-4, atol=1e-4
    )


def test_what_is_hardly_faster_is_not_chosen(
    partition: Partition, default: Contender, contest: Contest, monkeypatch: pytest.MonkeyPatch
) -> None:
    times(monkeypatch, 1.0, 0.99, 0.99)
    choice = choose_layouts(partition, default, contest, None, math.inf)
    assert choice.contender is default
    assert choice.partition is partition
    assert choice.decision is not None
    assert choice.decision.chosen == ALL_NHWC


@pytest.mark.parametrize("fate", [Fate(failure=WRONG), Fate(failure=CRASHED), Fate(failure=HUNG, after=2)])
def test_a_build_that_fails_is_not_chosen_whatever_its_times(
    partition: Partition, fate: Fate, monkeypatch: pytest.MonkeyPatch
) -> None:
    times(monkeypatch, 2.0, 1.0, 1.0)
    contest = Contest(detect(), FakeModels(Fate(), fate))
    default = contest.first(partition)
    choice = choose_layouts(partition, default, contest, None, math.inf)
    assert choice.contender is default
    assert choice.partition is partition
    assert {failed.failure for failed in contest.failures} == {fate.failure}
    assert all(failed.name.startswith("in layouts ") for failed in contest.failures)


def test_builds_that_are_not_chosen_give_back_their_memory(
    partition: Partition, default: Contender, contest: Contest, models: FakeModels, monkeypatch: pytest.MonkeyPatch
) -> None:
    times(monkeypatch, 2.0, 1.0, 3.0)
    chosen = choose_layouts(partition, default, contest, None, math.inf).contender.opened
    kept = [default.opened, chosen]
    assert [model for model in models.opened if not model.closed] == kept


def test_no_time_means_no_decision(partition: Partition, default: Contender, contest: Contest) -> None:
    assert choose_layouts(partition, default, contest, None, 0.0).decision is None


def test_what_is_predicted_not_to_pay_is_not_built(
    partition: Partition, default: Contender, contest: Contest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(LayoutCosts, "group", lambda _self, _place, pair: 1.0 if pair.is_default else 1.5)
    choice = choose_layouts(partition, default, contest, None, math.inf)
    assert choice.decision is not None
    assert choice.decision.reason.startswith("predicted")
    assert [each.measured_secs for each in choice.decision.tried] == [None]


def test_where_nothing_is_chosen(path: Path, partition: Partition) -> None:
    offered = layouts_of(detect())
    assert layout_problem(partition, offered) is not None
    assert "layouts" in pass_names()
    assert layout_problem(partition_model(load_model(path), without=["layouts"]), offered) is None
    assert layout_problem(replace(partition, precision=Precision("bfloat16")), offered) is None


@pytest.mark.parametrize("text", ["NCHW:0-9000", "NCHW:999", "NCHW5c>NCHW:1"])
def test_a_record_that_does_not_fit_is_left_aside(
    partition: Partition,
    default: Contender,
    contest: Contest,
    tmp_path: Path,
    text: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(LayoutCosts, "group", lambda _self, _place, pair: 1.0 if pair.is_default else 1.5)
    decision = choose_layouts(partition, default, contest, None, math.inf).decision
    assert decision is not None
    with open_database(str(tmp_path / "records.db")) as database:
        layouts = LayoutAssignment.parse(text)
        database.decide([replace(decision, chosen=layouts, tried=(replace(decision.tried[0], layouts=layouts),))])
        assert recorded_layouts(partition, database, detect()) is None


def test_the_key_of_a_plan_is_that_of_its_groups(path: Path, partition: Partition) -> None:
    again, apart = partition_model(load_model(path)), partition_model(load_model(path), without=["convolution"])
    assert partition.switcher is not None
    assert again.switcher is not None
    assert apart.switcher is not None
    assert plan_key(again.switcher.plan) == plan_key(partition.switcher.plan) != plan_key(apart.switcher.plan)


def test_damaged_text_is_refused() -> None:
    with pytest.raises(UsageError):
        LayoutAssignment.parse("NCHW:0;1")


def test_kernels_that_builds_share_take_equally_long_in_both() -> None:
    first, mine = Counter({"same": 2, "gone": 1, "fewer": 3}), Counter({"same": 2, "new": 1, "fewer": 1})
    secs = layouts._seconds(
        first, mine, {"same": 1.0, "gone": 4.0, "fewer": 0.5}, {"same": 9.0, "new": 3.0, "fewer": 9.0}, 2e-6
    )
    assert secs.different == pytest.approx(3.0, abs=1e-4)
    assert secs.in_nhwc == pytest.approx(4.0 + 2 * 0.5, abs=1e-4)
    assert secs.common == pytest.approx(2 * 1.0 + 0.5, abs=1e-4)
    assert secs.total == pytest.approx(5.5, abs=1e-4)


def test_measured_transposes_say_what_conversions_take(partition: Partition) -> None:
    assert partition.switcher is not None
    plan = partition.switcher.plan
    costs = LayoutCosts.predicted(plan, [()] * len(plan.groups), TargetEstimator(detect()), layouts_of(detect()))
    predicted = costs.conversion(4 * 3 * 24 * 24)
    slower = costs.with_measured({(0, LayoutPair()): 3 * predicted, (1, LayoutPair()): 5.0})
    assert slower.conversion(4 * 3 * 24 * 24) == pytest.approx(3 * predicted)
    assert slower.group(1, LayoutPair()) == 5.0
    assert costs.with_measured({(0, LayoutPair()): predicted / 2}).conversion(100) == costs.conversion(100)
