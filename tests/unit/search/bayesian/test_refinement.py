"""Candidates beside the best: where variables have many values, better than what a pool has."""

import numpy as np
import pytest

from flextune.csp.assignment import Assignments
from flextune.csp.parameter_space import ParameterSpace
from flextune.search.bayesian.refinement import Refinement, RefinementOptions
from flextune.search.encoding import Encoding
from flextune.search.unseen import Unseen
from flextune.surrogate.feature_map import FeatureMap
from flextune.tuning.ask_tell import Search

CENTRE = {"a": 37, "b": 61, "c": 12, "d": 80}
NUMBERS = dict.fromkeys(CENTRE, range(100))
RULES = {"any": (), "few": ("a + b <= 98", "c * 5 == d - 20")}


def near(members: Assignments) -> np.ndarray:
    distances = sum((members.columns[name] - place) ** 2 for name, place in CENTRE.items())
    return np.asarray(-distances, dtype=np.float32)


def refinement(solutions, unseen):
    return Refinement(solutions, Encoding(solutions), unseen, RefinementOptions())


@pytest.mark.parametrize("rules", RULES)
def test_comes_near_what_no_sample_has(rules):
    solutions = ParameterSpace.of(NUMBERS, RULES[rules]).solutions
    unseen, rng = Unseen(solutions), np.random.default_rng(0)
    pool = solutions.sample(rng, 1000)
    best = pool.take(np.argsort(-near(pool))[:8])
    found = refinement(solutions, unseen).best_beside(best, near, set(), rng)
    assert len(found) == 1
    assert found[0] in solutions
    assert near(found)[0] > max(-60.0, near(best).max() / 4)


def test_what_is_known_or_taken_is_not_found_again():
    solutions = ParameterSpace.of(NUMBERS).solutions
    unseen, rng, taken = Unseen(solutions), np.random.default_rng(0), set()
    start = solutions.sample(rng, 8)
    for number in range(12):
        found = refinement(solutions, unseen).best_beside(start, near, taken, rng)[0]
        assert found in unseen
        assert found not in taken
        if number % 2:
            unseen.mark([found])
        else:
            taken.add(found)


@pytest.mark.parametrize(
    ("space", "useful"),
    [
        (NUMBERS, True),
        ({"a": range(50), "word": ["x", "y"]}, True),
        ({"a": range(50), "word": ["x", "y"], "b": [1, 2, 4]}, False),
        ({"a": [1, 2, 4, 8], "b": [1, 2]}, False),
    ],
)
def test_is_useful_where_half_of_the_variables_have_many_values(space, useful):
    solutions = ParameterSpace.of(space).solutions
    assert refinement(solutions, Unseen(solutions)).useful is useful


def test_evenly_spaced_values_may_count_by_their_differences():
    solutions = ParameterSpace.of(
        {"a": range(1, 101), "tile": [2**power for power in range(30)], "b": range(8)}
    ).solutions
    by_ratio, by_difference = FeatureMap.choices(solutions.names, solutions)
    columns = {"a": np.array([1, 50, 100]), "tile": np.array([1, 4, 2**29]), "b": np.array([0, 3, 7])}
    even, other = by_difference.of(Assignments(columns)), by_ratio.of(Assignments(columns))
    assert even[:, 0] == pytest.approx([0, 49 / 99, 1])
    assert other[1, 0] > 0.8
    assert (even[:, 1:] == other[:, 1:]).all()
    narrow = ParameterSpace.of({"tile": [1, 2, 4, 8], "b": range(8)}).solutions
    assert len(FeatureMap.choices(narrow.names, narrow)) == 1


@pytest.mark.parametrize("power", [1, 3], ids=["even", "ratios"])
def test_auto_follows_a_bowl_in_a_wide_space(power):
    """By differences, or by ratios: measurements tell which."""
    centre = {"a": 37, "b": 61, "c": 12}

    def value(values):
        if power == 1:
            return 1 + sum((values[name] - place) ** 2 for name, place in centre.items())
        return 1 + sum(np.log2(values[name] / place) ** 2 for name, place in centre.items())

    search = Search(dict.fromkeys(centre, range(1, 121)), "auto", seed=1)
    for _ in range(40):
        asked = search.ask()
        search.tell(asked, float(value(asked)))
    assert search.best.value < (20 if power == 1 else 1.3)
