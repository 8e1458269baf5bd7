import numpy as np
import pytest

from flextune.cost.cost_model_registry import create_cost_model
from flextune.csp.solutions import SolutionSet
from flextune.search.evolution.cga import CgaOptions, CgaStrategy
from flextune.search.evolution.selection import roulette
from flextune.search.strategy_registry import create_strategy
from flextune.testing.cost_models import measured
from flextune.testing.strategies import HUGE, SMALL, example_measurement, solved


def started(solutions, trials=32, model="none", **options):
    """A strategy that has been told of its first round."""
    strategy = CgaStrategy(
        solutions,
        rng=np.random.default_rng(0),
        cost_model=create_cost_model(model, solutions.names, 0),
        options=CgaOptions(**options),
    )
    strategy.tell([example_measurement(assignment) for assignment in strategy.ask(trials)])
    return strategy


def recorded_restrictions(monkeypatch):
    seen = []
    sample_each = SolutionSet.sample_each
    monkeypatch.setattr(
        SolutionSet, "sample_each", lambda self, rng, items: seen.append(list(items)) or sample_each(self, rng, items)
    )
    return seen


def test_roulette_follows_fitness():
    rng = np.random.default_rng(0)
    drawn = roulette(rng, np.array([3.0, 1.0, 0.0, -5.0]), 8000)
    shares = np.bincount(drawn, minlength=4) / 8000
    assert np.abs(shares - [0.75, 0.25, 0, 0]).max() < 0.02
    everything_failed = np.bincount(roulette(rng, np.zeros(4), 8000), minlength=4) / 8000
    assert np.abs(everything_failed - 0.25).max() < 0.02
    assert sorted(roulette(rng, np.array([1.0, 0, 0]), 3, replace=False).tolist()) == [0, 1, 2]


def test_every_child_has_a_couple_of_its_own(monkeypatch):
    strategy = started(solved(HUGE), generations=2)
    seen = recorded_restrictions(monkeypatch)
    strategy.propose()
    assert [len(restrictions) for restrictions in seen] == [200, 200]


def test_children_keep_the_parents_values_of_the_key_variables(monkeypatch):
    strategy = started(solved(HUGE), key_fraction=0.5)
    seen = recorded_restrictions(monkeypatch)
    strategy.propose()
    for constraints in (each for generation in seen for each in generation):
        assert len({constraint.variable for constraint in constraints}) == 6 - 1
        assert all(1 <= len(constraint.values) <= 2 for constraint in constraints)


def test_key_variables_are_the_most_important_ones():
    strategy = started(solved(HUGE), key_fraction=0.25)
    strategy._ranking.importance = lambda: {"v3": 0.5, "v7": 0.3, "v1": 0.2}
    assert set(strategy._key_variables()) == {"v3", "v7", "v1"}


def test_random_keys_change():
    strategy = started(solved(HUGE), keys="random", model="trees")
    assert len({strategy._key_variables() for _ in range(10)}) > 5


def test_mutation_leaves_out_each_key_variable_at_times():
    strategy = started(solved(HUGE))
    left_out = {tuple({"a", "b", "c"} - set(strategy._mutated(("a", "b", "c")))) for _ in range(60)}
    assert left_out == {("a",), ("b",), ("c",)}
    assert strategy._mutated(()) == []


@pytest.mark.parametrize(
    "options", [{"history": 0}, {"key_fraction": 0.0}, {"key_fraction": 1.0}, {"epsilon": 0.0}, {"epsilon": 1.0}]
)
def test_extreme_options(options):
    strategy = started(solved(SMALL), population=5, parents=2, offspring=3, **options)
    assert len(set(strategy.ask(32))) == 32


@pytest.mark.parametrize(("name", "model"), [("cga", "none"), ("cga", "trees"), ("random", "trees")])
def test_finds_better_ones_than_chance(name, model):
    chance = np.mean([best_distance("random", "none", seed) for seed in range(3)])
    assert np.mean([best_distance(name, model, seed) for seed in range(3)]) < 0.6 * chance


def best_distance(name, model, seed, trials=128):
    """How near to one point of the space the nearest of the asked ones is, in 5 of 12 variables."""
    solutions = solved(HUGE)
    strategy = create_strategy(
        name,
        solutions,
        rng=np.random.default_rng(seed),
        cost_model=create_cost_model(model, solutions.names, seed),
        options={"round_size": "16"},
    )
    distances = []
    while len(distances) < trials:
        asked = strategy.ask(16)
        found = [sum(abs(assignment[f"v{index}"] - 2 * index) for index in range(5)) for assignment in asked]
        strategy.tell(measured(asked, 1e-3 * (1 + np.array(found))))
        distances += found
    return min(distances)
