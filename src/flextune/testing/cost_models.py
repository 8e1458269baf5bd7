"""What every cost model must pass.

Subclass `CostModelSuite` in a test module, say how yours is made, and let pytest find the class:

    class TestMyModel(CostModelSuite):
        def create(self, names, seed):
            return MyModel(names, seed)
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from flextune.cost.model import CostModel
from flextune.csp.assignment import Assignment, Assignments
from flextune.trial.measurement import Measurement, Status

NAMES = ("tile_i", "tile_j", "unroll", "idle")
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


class CostModelSuite(ABC):
    """Tests of the contract of `CostModel`."""

    learned_correlation = 0.7
    """Least rank correlation of predictions and true throughput of unseen assignments, after 128 measurements."""

    @abstractmethod
    def create(self, names: Sequence[str], seed: int) -> CostModel:
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
        correlation = _rank_correlation(self._taught(128).predict(unseen), truth)
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

    def _taught(self, n: int) -> CostModel:
        assignments = example_assignments(np.random.default_rng(0), n)
        model = self.create(NAMES, 0)
        model.update(measured(assignments, example_secs(assignments)))
        return model


def _rank_correlation(scores: npt.NDArray[np.float64], truth: npt.NDArray[np.float64]) -> float:
    """Spearman's coefficient; equal values get their mean rank."""
    return float(np.corrcoef(_ranks(scores), _ranks(truth))[0, 1])


def _ranks(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    _, groups = np.unique(values, return_inverse=True)
    ends = np.cumsum(np.bincount(groups))
    starts = np.concatenate([[0], ends[:-1]])
    ranks: npt.NDArray[np.float64] = ((starts + ends - 1) / 2)[groups]
    return ranks
