"""What every cost model must pass.

Subclass `CostModelSuite` in a test module, say how yours is made, and let pytest find the class:

    class TestMyModel(CostModelSuite):
        def create(self, names, seed, task=None, pretrained=None):
            return MyModel(names, seed, task=task, pretrained=pretrained)
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import cache

import numpy as np
import numpy.typing as npt
import pytest

from flextune.cost.cost_model import CostModel
from flextune.cost.pretrained import PretrainedModel, TaskRecords, pretrain
from flextune.cost.quality import rank_correlation
from flextune.cost.task_description import TaskDescription
from flextune.csp.assignment import Assignment, Assignments
from flextune.trial.measurement import Measurement, Status

NAMES = ("tile_i", "tile_j", "unroll", "idle")
EXAMPLE_TASK = TaskDescription(operator="example", numbers=(("operations", 1e6),))
_VALUES = ((1, 2, 4, 8, 16, 32, 64), (1, 2, 4, 8, 16, 32, 64), (0, 1), (1, 2, 3, 4))


def example_assignments(rng: np.random.Generator, n: int) -> Assignments:
    """`n` random assignments of the variables `NAMES`."""
    return Assignments({name: rng.choice(values, n) for name, values in zip(NAMES, _VALUES, strict=True)})


def example_secs(assignments: Assignments) -> npt.NDArray[np.float64]:
    """A time that depends most on `tile_i`, not at all on `idle`; too large tiles fail (infinity)."""
    tile_i, tile_j = (np.log2(assignments.columns[name]) for name in ("tile_i", "tile_j"))
    secs = 1e-3 * (1 + 2 * np.abs(tile_i - 4) + 0.5 * np.abs(tile_j - 3) + 0.2 * assignments.columns["unroll"])
    return np.where(tile_i + tile_j > 10, math.inf, secs)


def measured(assignments: Sequence[Assignment], secs: npt.NDArray[np.float64]) -> list[Measurement]:
    """Measurements with these times; an infinite one is a failed run."""
    return [
        Measurement(each, Status.OK, (time,)) if math.isfinite(time) else Measurement(each, Status.RUN_ERROR)
        for each, time in zip(assignments, secs.tolist(), strict=True)
    ]


@cache
def example_pretrained(task: TaskDescription = EXAMPLE_TASK, misleading: bool = False) -> PretrainedModel:
    """A model of two earlier tasks with the same variables; `misleading` has learned the opposite of what is true."""
    tasks = []
    for number, factor in enumerate((3.0, 0.2)):
        assignments = example_assignments(np.random.default_rng(100 + number), 200)
        secs = factor * example_secs(assignments)
        if misleading:
            secs = np.where(np.isfinite(secs), factor * 1e-3 / secs, math.inf)
        tasks.append(TaskRecords(task, NAMES, assignments, secs))
    return pretrain(tasks, "example")


class CostModelSuite(ABC):
    """Tests of the contract of `CostModel`."""

    learned_correlation = 0.7
    """Least rank correlation of predictions and true throughput of unseen assignments, after 128 measurements."""

    starts_from_pretrained = True
    """Whether the model makes use of a pretrained one; one that does not has to take it and leave it."""

    @abstractmethod
    def create(
        self,
        names: Sequence[str],
        seed: int,
        task: TaskDescription | None = None,
        pretrained: PretrainedModel | None = None,
    ) -> CostModel:
        """A new model."""

    def test_predicts_one_finite_score_each(self) -> None:
        model = self._taught(64)
        for n in (0, 1, 7):
            scores = model.predict(example_assignments(np.random.default_rng(1), n))
            assert scores.shape == (n,)
            assert scores.dtype == np.float64
            assert np.isfinite(scores).all()

    def test_knows_nothing_before_it_is_told(self) -> None:
        model = self.create(NAMES, 0)
        scores = model.predict(example_assignments(np.random.default_rng(1), 9))
        assert len(set(scores.tolist())) == 1
        assert model.importance() == {}

    def test_survives_a_single_measurement(self) -> None:
        model = self._taught(1)
        assert np.isfinite(model.predict(example_assignments(np.random.default_rng(1), 9))).all()

    def test_survives_failures_only(self) -> None:
        assignments = example_assignments(np.random.default_rng(0), 40)
        model = self.create(NAMES, 0)
        model.update(measured(assignments, np.full(40, math.inf)))
        assert len(set(model.predict(assignments).tolist())) == 1
        assert sum(model.importance().values()) in (0, 1)

    def test_ranks_unseen_assignments(self) -> None:
        unseen = example_assignments(np.random.default_rng(1), 400)
        truth = 1 / example_secs(unseen)
        correlation = rank_correlation(self._taught(128).predict(unseen), truth)
        assert correlation >= self.learned_correlation

    def test_learns_what_fails(self) -> None:
        unseen = example_assignments(np.random.default_rng(1), 400)
        failing = np.isinf(example_secs(unseen))
        scores = self._taught(128).predict(unseen)
        assert scores[failing].mean() < scores[~failing].mean()

    def test_importance_is_a_share_of_each_variable(self) -> None:
        importance = self._taught(256).importance()
        assert set(importance) <= set(NAMES)
        assert min(importance.values()) >= 0
        assert math.isclose(sum(importance.values()), 1, rel_tol=1e-6)
        assert max(importance, key=lambda name: importance[name]) == "tile_i"
        assert importance.get("idle", 0) < 0.1

    def test_same_data_and_seed_same_predictions(self) -> None:
        probe = example_assignments(np.random.default_rng(1), 50)
        first, second = (self._taught(100).predict(probe) for _ in range(2))
        assert first.tolist() == second.tolist()

    def test_asking_changes_nothing(self) -> None:
        probe = example_assignments(np.random.default_rng(1), 50)
        asked, quiet = self._taught(40), self._taught(40)
        asked.predict(probe)
        asked.importance()
        more = example_assignments(np.random.default_rng(2), 40)
        for model in (asked, quiet):
            model.update(measured(more, example_secs(more)))
        assert asked.predict(probe).tolist() == quiet.predict(probe).tolist()

    def test_telling_twice_does_no_harm(self) -> None:
        probe = example_assignments(np.random.default_rng(1), 50)
        once, twice = self._taught(60), self._taught(60)
        again = example_assignments(np.random.default_rng(0), 60)
        twice.update(measured(again, example_secs(again)))
        assert once.predict(probe).tolist() == twice.predict(probe).tolist()

    def test_grouping_of_measurements_does_not_matter(self) -> None:
        probe = example_assignments(np.random.default_rng(1), 50)
        assignments = example_assignments(np.random.default_rng(0), 60)
        model = self.create(NAMES, 0)
        for measurement in measured(assignments, example_secs(assignments)):
            model.update([measurement])
        assert model.predict(probe).tolist() == self._taught(60).predict(probe).tolist()

    def test_a_later_measurement_replaces_an_earlier_one(self) -> None:
        probe = example_assignments(np.random.default_rng(1), 50)
        assignments = example_assignments(np.random.default_rng(0), 60)
        model = self.create(NAMES, 0)
        model.update(measured(assignments, example_secs(assignments)[::-1]))
        model.predict(probe)
        model.update(measured(assignments, example_secs(assignments)))
        assert model.predict(probe).tolist() == self._taught(60).predict(probe).tolist()

    def test_survives_equal_times(self) -> None:
        assignments = example_assignments(np.random.default_rng(0), 60)
        model = self.create(NAMES, 0)
        model.update(measured(assignments, np.full(60, 2e-3)))
        scores = model.predict(example_assignments(np.random.default_rng(1), 50))
        assert np.isfinite(scores).all()
        assert np.ptp(scores) < 0.1
        assert sum(model.importance().values()) == pytest.approx(1) or model.importance() == {}

    def test_one_time_far_from_all_others(self) -> None:
        assignments = example_assignments(np.random.default_rng(0), 128)
        secs = example_secs(assignments)
        secs[int(np.argmax(np.where(np.isfinite(secs), secs, 0)))] = 1e4
        model = self.create(NAMES, 0)
        model.update(measured(assignments, secs))
        unseen = example_assignments(np.random.default_rng(1), 400)
        assert rank_correlation(model.predict(unseen), 1 / example_secs(unseen)) >= self.learned_correlation - 0.1

    def test_only_one_ran(self) -> None:
        assignments = example_assignments(np.random.default_rng(0), 30)
        secs = np.where(np.arange(30) == 7, 1e-3, math.inf)
        model = self.create(NAMES, 0)
        model.update(measured(assignments, secs))
        assert np.isfinite(model.predict(assignments)).all()

    def test_space_of_one_and_of_two(self) -> None:
        for values in ([4], [4, 8]):
            space = Assignments({"tile": np.array(values)})
            model = self.create(("tile",), 0)
            model.update(measured(space, np.arange(1.0, 1 + len(values))))
            scores = model.predict(space)
            assert np.isfinite(scores).all()
            assert (np.diff(scores) <= 0).all()

    def test_space_of_very_many(self) -> None:
        names = tuple(f"v{index}" for index in range(12))
        rng = np.random.default_rng(0)
        told, unseen = (Assignments({name: rng.integers(0, 10, n) for name in names}) for n in (200, 400))
        model = self.create(names, 0)
        model.update(measured(told, _distance(told)))
        assert rank_correlation(model.predict(unseen), 1 / _distance(unseen)) > 0.3

    def test_values_of_any_size(self) -> None:
        values = np.array([-(2**62), -5, 0, 1, 2**40, 2**62])
        space = Assignments({"v": values})
        model = self.create(("v",), 0)
        model.update(measured(space, np.arange(1.0, 7.0)))
        assert np.isfinite(model.predict(space)).all()

    def test_starts_from_a_pretrained_model(self) -> None:
        model = self.create(NAMES, 0, EXAMPLE_TASK, example_pretrained())
        if not self.starts_from_pretrained:
            pytest.skip("the model makes no use of a pretrained one")
        unseen = example_assignments(np.random.default_rng(1), 400)
        assert rank_correlation(model.predict(unseen), 1 / example_secs(unseen)) >= 0.8
        assert max(model.importance(), key=lambda name: model.importance()[name]) == "tile_i"
        assert sum(model.importance().values()) == pytest.approx(1)
        first = example_assignments(np.random.default_rng(0), 10)
        model.update(measured(first, np.full(10, math.inf)))
        assert np.isfinite(model.predict(unseen)).all()

    def test_a_pretrained_start_helps_while_little_is_measured(self) -> None:
        if not self.starts_from_pretrained:
            pytest.skip("the model makes no use of a pretrained one")
        unseen = example_assignments(np.random.default_rng(1), 400)
        truth = 1 / example_secs(unseen)
        alone, helped = (self._taught(12, pretrained).predict(unseen) for pretrained in (None, example_pretrained()))
        assert rank_correlation(helped, truth) > rank_correlation(alone, truth)

    def test_a_misleading_start_is_overcome(self) -> None:
        unseen = example_assignments(np.random.default_rng(1), 400)
        model = self._taught(128, example_pretrained(misleading=True))
        assert rank_correlation(model.predict(unseen), 1 / example_secs(unseen)) >= self.learned_correlation - 0.1

    def test_a_start_from_a_task_of_other_variables(self) -> None:
        names = ("width", "flag")
        space = Assignments({"width": np.array([1, 2, 4, 8]), "flag": np.array([0, 1, 0, 1])})
        model = self.create(names, 0, EXAMPLE_TASK, example_pretrained())
        assert np.isfinite(model.predict(space)).all()
        model.update(measured(space, np.arange(1.0, 5.0)))
        assert np.isfinite(model.predict(space)).all()
        assert set(model.importance()) <= set(names)

    def test_same_start_same_predictions(self) -> None:
        probe = example_assignments(np.random.default_rng(1), 50)
        first, second = (self._taught(40, example_pretrained()).predict(probe) for _ in range(2))
        assert first.tolist() == second.tolist()

    def _taught(self, n: int, pretrained: PretrainedModel | None = None) -> CostModel:
        assignments = example_assignments(np.random.default_rng(0), n)
        model = self.create(NAMES, 0, EXAMPLE_TASK if pretrained else None, pretrained)
        model.update(measured(assignments, example_secs(assignments)))
        return model


def _distance(assignments: Assignments) -> npt.NDArray[np.float64]:
    """Seconds that grow with the distance from 5 in every variable."""
    return np.asarray(1.0 + np.abs(assignments.matrix(tuple(assignments.columns)) - 5).sum(axis=1), dtype=np.float64)
