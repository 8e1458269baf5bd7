import numpy as np
import pytest

from flextune.cost.cost_model_registry import create_cost_model
from flextune.search.local.annealing import AnnealingOptions, AnnealingStrategy, accepts
from flextune.testing.cost_models import measured
from flextune.testing.strategies import FEW, HUGE, SPLITS, example_measurement, failed_measurement, solved


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def strategy(text=HUGE, trials=None, **options):
    return AnnealingStrategy(
        solved(text), rng=np.random.default_rng(0), options=AnnealingOptions(**options), trials=trials
    )


def tell(search, asked, secs):
    search.tell(measured(asked, np.array(secs, dtype=np.float64)))


class TestMetropolis:
    def test_always_for_the_better(self, rng):
        assert all(accepts(rng, 2.0, secs, 0.0) for secs in (1.0, 1.9, 2.0))

    def test_for_the_worse_by_how_much_and_how_hot(self, rng):
        for secs, temperature in ((1.1, 0.1), (1.5, 0.3)):
            share = np.mean([accepts(rng, 1.0, secs, temperature) for _ in range(3000)])
            assert share == pytest.approx(secs ** (-1 / temperature), abs=0.03)

    def test_never_where_it_is_cold(self, rng):
        assert not any(accepts(rng, 1.0, 1.0001, 0.0) for _ in range(50))

    def test_never_for_a_failure(self, rng):
        assert not accepts(rng, 1.0, np.inf, 100.0)
        assert not accepts(rng, np.inf, np.inf, 100.0)
        assert accepts(rng, np.inf, 1.0, 0.0)


def test_steps_change_one_variable_where_nothing_else_must_change():
    search = strategy(chains=1, temperature=0)
    (here,) = search.ask(5)
    tell(search, [here], [1.0])
    for secs in (2.0, 0.5, 2.0):
        (beside,) = search.ask(5)
        assert sum(beside[name] != here[name] for name in here) == 1
        tell(search, [beside], [secs])
        here = beside if secs == 0.5 else here


def test_steps_stay_near_where_others_must_follow():
    search = strategy(SPLITS, chains=1, temperature=0)
    (here,) = search.ask(1)
    tell(search, [here], [1.0])
    steps = []
    for _ in range(20):
        (beside,) = search.ask(1)
        steps.append(sum(beside[name] != here[name] for name in search.encoding.names))
        tell(search, [beside], [2.0])
    assert np.median(steps) <= 3


def test_temperature_falls_over_the_trials_and_starts_over():
    search = strategy(trials=10, temperature=0.5, chains=1)
    temperatures = []
    for _ in range(12):
        temperatures.append(search.temperature)
        asked = search.ask(1)
        tell(search, asked, [1.0])
    assert temperatures[:10] == pytest.approx([0.5 * (1 - trial / 10) for trial in range(10)])
    assert temperatures[10] == 0.5


def test_a_hot_chain_takes_what_a_cold_one_does_not():
    moved = {}
    for temperature in (0.0, 100.0):
        search = strategy(chains=1, temperature=temperature)
        asked = search.ask(1)
        tell(search, asked, [1.0])
        for _ in range(10):
            tell(search, search.ask(1), [1.2])
        search.propose()
        moved[temperature] = search._chains[0].at != asked[0]
    assert moved == {0.0: False, 100.0: True}


def test_chains_start_at_the_best_known():
    solutions = solved(SPLITS)
    known = list(solutions.sample(np.random.default_rng(1), 6))
    search = strategy(SPLITS, chains=3)
    tell(search, known, [5.0, 1.0, np.inf, 3.0, 2.0, np.inf])
    search.propose()
    assert [chain.at for chain in search._chains] == [known[1], known[4], known[3]]


def test_a_chain_starts_again_where_all_around_is_known():
    search = strategy(FEW, chains=1)
    (here,) = search.ask(1)
    tell(search, [here], [1.0])
    around = list(search.solutions.neighbours(here))
    near = [assignment for assignment in search.solutions.enumerate() if assignment != here][:-2]
    search.tell([failed_measurement(assignment) for assignment in near])
    assert around
    left = {assignment for assignment in search.solutions.enumerate() if assignment in search.unseen}
    assert set(search.ask(1)) <= left


def test_a_walk_on_predictions_goes_where_the_model_says():
    """The model was told that only v0 matters, and that 9 is best: the walks end there more often than steps would."""
    solutions = solved(HUGE)
    ends = {}
    for model in ("none", "trees"):
        search = AnnealingStrategy(
            solutions,
            rng=np.random.default_rng(0),
            cost_model=create_cost_model(model, solutions.names, 0),
            options=AnnealingOptions(chains=8, steps=60, temperature=0.01),
        )
        known = list(solutions.sample(np.random.default_rng(1), 200))
        tell(search, known, [1.0 + (9 - assignment["v0"]) for assignment in known])
        search._chains[:] = [type(search._chains[0])(assignment) for assignment in known if assignment["v0"] == 2][:8]
        ends[model] = np.mean([assignment["v0"] for assignment in search.propose()])
    assert ends["trees"] > ends["none"] + 2


def test_finds_better_ones_than_chance():
    from_chance = solved(HUGE).sample(np.random.default_rng(0), 150)
    chance = min(example_measurement(assignment).secs for assignment in from_chance)
    search = strategy(trials=150)
    best = np.inf
    for _ in range(75):
        asked = search.ask(2)
        times = [example_measurement(assignment) for assignment in asked]
        best = min(best, *(time.secs for time in times))
        search.tell(times)
    assert best < 0.7 * chance
