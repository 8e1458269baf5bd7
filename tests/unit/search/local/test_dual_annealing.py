import numpy as np
import pytest

from flextune.search.local.dual_annealing import (
    DualAnnealingOptions,
    DualAnnealingStrategy,
    accepted,
    cooled,
    visited_point,
    visiting_steps,
)
from flextune.testing.cost_models import measured
from flextune.testing.strategies import HUGE, SPLITS, solved


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def strategy(text=HUGE, **options):
    return DualAnnealingStrategy(solved(text), rng=np.random.default_rng(0), options=DualAnnealingOptions(**options))


def test_temperature_follows_the_schedule():
    assert cooled(5230.0, 2.62, 0) == 5230
    falling = [cooled(5230.0, 2.62, sweep) for sweep in range(5)]
    assert falling == sorted(falling, reverse=True)
    assert cooled(1.0, 2.0, 8) == pytest.approx((2 - 1) / (10 - 1))  # fast annealing: as 1 / sweep


def test_jumps_are_wider_where_it_is_hotter_and_have_heavy_tails(rng):
    cold, hot = (np.abs(visiting_steps(rng, temperature, 2.62, (20_000,))) for temperature in (0.1, 1000.0))
    assert np.median(hot) > 30 * np.median(cold)
    assert (cold > 100 * np.median(cold)).mean() > 0.005
    assert visiting_steps(rng, 1.0, 2.62, (3, 2)).shape == (3, 2)


def test_visits_stay_in_the_cube(rng):
    point = visited_point(rng, np.full((500, 3), 0.5), 100.0, 2.62)
    assert ((point >= 0) & (point < 1)).all()


def test_acceptance_is_generalised_metropolis(rng):
    assert accepted(rng, 2.0, 1.0, -5.0, 1e-9)
    assert not accepted(rng, 1.0, np.inf, -5.0, 1e9)
    assert accepted(rng, np.inf, np.inf, -5.0, 1.0)
    share = np.mean([accepted(rng, 1.0, np.e**0.1, -5.0, 1.0) for _ in range(4000)])
    assert share == pytest.approx((1 - 6 * 0.1) ** (1 / 6), abs=0.02)
    assert not any(accepted(rng, 1.0, np.e**0.2, -5.0, 1.0) for _ in range(50))  # beyond its support


def run(search, trials, secs):
    """Time of all that was asked, in order."""
    asked = []
    for _ in range(trials):
        (assignment,) = search.ask(4)
        asked.append(assignment)
        search.tell(measured([assignment], np.array([secs(assignment)])))
    return asked


def distance(assignment):
    return 1.0 + sum(abs(value - 4) for name, value in assignment.items() if name in ("v0", "v1", "v2", "v3"))


def test_a_sweep_moves_all_coordinates_and_then_each():
    """Nothing is better than the start: it stays there while it is cold."""
    search = strategy(temperature=0.02, visit=2.9, local_search=False)
    start, *visited = run(search, 25, lambda assignment: 1.0 if not len(search.history) else 10.0)
    genes = search.encoding.genes
    changed = [sum(assignment[name] != start[name] for name in start) for assignment in visited]
    assert max(changed[:genes]) > 3
    assert np.median(changed[:genes]) > 1 == np.median(changed[genes : 2 * genes])


def test_a_gain_is_followed_by_a_descent_until_no_neighbour_is_faster():
    for local_search in (True, False):
        search = strategy(local_search=local_search)
        best = min(run(search, 400, distance), key=distance)
        around = [search.history.secs_of(assignment) for assignment in search.solutions.neighbours(best)]
        assert (None not in around) is local_search
        if local_search:
            assert distance(best) == 1


def test_descent_goes_from_neighbour_to_neighbour():
    search = strategy(SPLITS)
    descent = search._descent(type("Start", (), {"assignment": search.solutions.unrank(5), "secs": 100.0})())
    here, asked = search.solutions.unrank(5), next(descent)
    for secs in (90.0, 80.0, 70.0):
        assert asked in list(search.solutions.neighbours(here))
        here, asked = asked, descent.send(secs)


def test_starts_at_the_best_known_and_then_elsewhere():
    search = strategy(SPLITS)
    known = list(search.solutions.sample(np.random.default_rng(1), 5))
    search.tell(measured(known, np.array([3.0, np.inf, 1.0, 2.0, 5.0])))
    starts = [next(search._start()) for _ in range(2)]
    assert starts[0] == known[2]
    assert starts[1] not in known
