from collections.abc import Mapping, Sequence

import numpy as np

from flextune.csp.assignment import Assignment, Assignments
from flextune.csp.problem import Problem
from flextune.search.bayesian.initial_design import InitialDesign
from flextune.search.bayesian.maximin import farthest_points
from flextune.search.unseen import Unseen
from flextune.surrogate.feature_map import FeatureMap
from flextune.trial.history import History
from flextune.trial.measurement import Measurement, Status

SPACE = "\n".join(f"var v{i} in {{0, 1, 2, 3, 4, 5, 6, 7}}" for i in range(6))


class LikesLarge:
    """Predicts the sum of the values, or nothing."""

    def __init__(self, knows: bool = True) -> None:
        self.knows = knows

    def predict(self, assignments: Assignments) -> np.ndarray:
        return self.knows * np.sum(list(assignments.columns.values()), axis=0).astype(float)

    def update(self, measurements: Sequence[Measurement]) -> None: ...

    def importance(self) -> Mapping[str, float]:
        return {}


def least_distance(x: np.ndarray) -> float:
    distances = np.linalg.norm(x[:, None] - x[None], axis=2)
    return float(distances[np.triu_indices(len(x), 1)].min())


def chosen(design: InitialDesign, n: int, model: LikesLarge | None = None, known: int = 0) -> np.ndarray:
    solutions = Problem.parse(SPACE).solve()
    features = FeatureMap.of_set(solutions.names, solutions)
    told = np.zeros((known, 6))
    found = design.choose(Unseen(solutions), features, told, np.random.default_rng(0), n, model)
    return features.of(found)


def history(*outcomes: bool) -> History:
    told = History(("v",))
    told.add(
        [
            Measurement(Assignment({"v": index}), Status.OK, (1.0,))
            if runs
            else Measurement(Assignment({"v": index}), Status.RUN_ERROR)
            for index, runs in enumerate(outcomes)
        ]
    )
    return told


def test_farther_apart_than_chance():
    apart, drawn = chosen(InitialDesign(6, 500), 6), chosen(InitialDesign(6, 6), 6)
    assert least_distance(apart) > 1.2 * least_distance(drawn)


def test_farthest_of_a_line():
    x = np.array([[0.4], [0.0], [1.0], [0.6]])
    assert farthest_points(x, 3, np.array([[0.0]])).tolist() == [2, 0, 3]
    assert farthest_points(x, 9, np.empty((0, 1))).tolist()[:2] == [0, 2]
    assert sorted(farthest_points(x, 9, np.empty((0, 1))).tolist()) == [0, 1, 2, 3]


def test_a_model_that_knows_something_is_asked():
    assert chosen(InitialDesign(6, 500), 6, LikesLarge()).mean() > 0.6
    np.testing.assert_array_equal(
        chosen(InitialDesign(6, 500), 6, LikesLarge(knows=False)), chosen(InitialDesign(6, 500), 6)
    )


def test_goes_on_until_enough_have_run():
    design = InitialDesign(3, 100)
    assert design.missing(history()) == 3
    assert design.missing(history(True)) == 2
    assert design.missing(history(True, True, True)) == 0
    assert design.missing(history(True, False, False)) == 2
    assert design.missing(history(True, False, False, True, True)) == 0


def test_patience_ends_but_not_before_something_has_run():
    design = InitialDesign(3, 100)
    assert design.missing(history(True, *[False] * 30)) == 0
    assert design.missing(history(*[False] * 30)) == 3
