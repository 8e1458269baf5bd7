import math

import numpy as np
import pytest

from flextune.csp.assignment import Assignment
from flextune.csp.problem import Problem
from flextune.search.bayesian.acquisition import Acquisition, AcquisitionOptions, informative
from flextune.search.bayesian.candidate_pool import CandidatePools, PoolOptions
from flextune.search.bayesian.refinement import Refinement, RefinementOptions
from flextune.search.encoding import Encoding
from flextune.search.unseen import Unseen
from flextune.surrogate.feature_map import FeatureMap
from flextune.trial.history import History
from flextune.trial.measurement import Measurement, Status

SMALL = "var a in {1, 2, 4, 8, 16, 32}\nvar b in {1, 2, 4, 8, 16, 32}\nvar c in {0, 1}\naux p\np = a * b\np <= 256"
LARGE = "\n".join(f"var v{i} in {{0, 1, 2, 3, 4, 5, 6, 7, 8, 9}}" for i in range(8))


def measured(assignment: Assignment) -> Measurement:
    """Fastest at a=8, b=4, c=1."""
    far = abs(math.log2(assignment["a"]) - 3) + abs(math.log2(assignment["b"]) - 2) + (assignment["c"] == 0)
    return Measurement(assignment, Status.OK, (1e-3 * (1 + far),))


class Bench:
    """A acquisition with what it needs."""

    def __init__(self, text: str, pool: PoolOptions | None = None, options: AcquisitionOptions | None = None) -> None:
        self.solutions = Problem.parse(text).solve()
        self.rng = np.random.default_rng(0)
        self.history = History(self.solutions.names)
        self.unseen = Unseen(self.solutions)
        self.features = FeatureMap.of_set(self.solutions.names, self.solutions)
        encoding = Encoding(self.solutions)
        self.pools = CandidatePools(self.solutions, self.features, encoding, pool or PoolOptions())
        refinement = Refinement(self.solutions, encoding, self.unseen, RefinementOptions())
        self.acquisition = Acquisition(
            self.history, self.unseen, [self.features], self.pools, refinement, options or AcquisitionOptions()
        )

    def tell(self, measurements: list[Measurement]) -> None:
        self.unseen.mark(measurement.assignment for measurement in measurements)
        self.history.add(measurements)


def test_finds_the_fastest_in_a_few_steps():
    bench = Bench(SMALL)
    bench.tell([measured(assignment) for assignment in bench.solutions.sample_distinct(bench.rng, 4)])
    for _ in range(14):
        bench.tell([measured(assignment) for assignment in bench.acquisition.choose(bench.rng, 1)])
    assert bench.history.best_secs == pytest.approx(1e-3)


def test_a_batch_is_unseen_and_distinct():
    bench = Bench(SMALL)
    known = list(bench.solutions.sample_distinct(bench.rng, 6))
    bench.tell([measured(assignment) for assignment in known])
    chosen = list(bench.acquisition.choose(bench.rng, 20))
    assert len(set(chosen)) == len(chosen) == 20
    assert set(chosen).isdisjoint(known)
    assert list(bench.acquisition.choose(bench.rng, 3)) == chosen[:3]


def test_chooses_all_that_is_left_and_then_nothing():
    bench = Bench(SMALL)
    everything = list(bench.solutions.enumerate())
    bench.tell([measured(assignment) for assignment in everything[:-5]])
    assert set(bench.acquisition.choose(bench.rng, 10)) == set(everything[-5:])
    bench.tell([measured(assignment) for assignment in everything[-5:]])
    assert not len(bench.acquisition.choose(bench.rng, 10))


def test_following_is_as_good_as_fitting_anew():
    """With a refit after every measurement or none, the choices agree while the kernel is the typical one."""
    choices = []
    for least in (1, 1000):
        options = AcquisitionOptions(cap=1.0, refit_least=least, refit_growth=0, kernel_steps=0)
        bench = Bench(SMALL, options=options)
        bench.tell([measured(assignment) for assignment in bench.solutions.sample_distinct(bench.rng, 30)])
        bench.acquisition.choose(bench.rng, 1)
        bench.tell([measured(next(iter(bench.unseen.draw(np.random.default_rng(5), 1))))])
        choices.append(list(bench.acquisition.choose(bench.rng, 1)))
    assert choices[0] == choices[1]


def test_goes_on_when_all_has_failed():
    bench = Bench(SMALL)
    for _ in range(10):
        chosen = bench.acquisition.choose(bench.rng, 1) if len(bench.history) else bench.solutions.sample(bench.rng, 1)
        bench.tell([Measurement(assignment, Status.RUN_ERROR) for assignment in chosen])
    assert len(bench.history) == 10


def test_told_again_counts_after_the_next_fit():
    bench = Bench(SMALL, options=AcquisitionOptions(refit_least=1, refit_growth=0))
    known = [measured(assignment) for assignment in bench.solutions.sample_distinct(bench.rng, 10)]
    bench.tell(known)
    bench.acquisition.choose(bench.rng, 1)
    bench.tell([Measurement(measurement.assignment, Status.RUN_ERROR) for measurement in known])
    assert len(bench.acquisition.choose(bench.rng, 1)) == 1


def test_avoids_where_candidates_fail():
    """Half of the space fails, beside the fastest ones: a random choice would do so in 15 of 30."""
    bench = Bench(LARGE, PoolOptions(samples=500, walks=100))

    def outcome(assignment: Assignment) -> Measurement:
        if assignment["v0"] < 5:
            return Measurement(assignment, Status.RUN_ERROR)
        return Measurement(assignment, Status.OK, (1.0 + sum(assignment.values()),))

    bench.tell([outcome(assignment) for assignment in bench.solutions.sample_distinct(bench.rng, 12)])
    failed = 0
    for _ in range(30):
        measurements = [outcome(assignment) for assignment in bench.acquisition.choose(bench.rng, 1)]
        failed += sum(not measurement.ok for measurement in measurements)
        bench.tell(measurements)
    assert failed <= 10
    assert bench.history.best_secs < 20


def test_large_sets_are_sampled_everywhere_and_near_the_best():
    bench = Bench(LARGE, PoolOptions(whole=100, samples=300, centres=2, walks=50))
    best = bench.solutions.sample(bench.rng, 1)[0]
    bench.tell([Measurement(best, Status.OK, (1e-3,))])
    pool = bench.pools.around(bench.rng, bench.history)
    near = sum(sum(other[name] != best[name] for name in best) <= 3 for other in pool.members)
    assert near >= 72 + 50
    assert len(pool.members) == len(pool.x) == 300 + 72 + 150
    assert bench.solutions.contains_many(pool.members).all()


def test_small_sets_are_listed_once():
    bench = Bench(SMALL)
    pool = bench.pools.around(bench.rng, bench.history)
    assert set(pool.members) == set(bench.solutions.enumerate())
    assert bench.pools.around(bench.rng, bench.history) is pool


def test_informative_keeps_the_fastest():
    secs = np.random.default_rng(0).permutation(np.arange(1.0, 101.0))
    secs[:10] = math.inf
    kept = informative(secs, 20, np.random.default_rng(0))
    assert len(set(kept.tolist())) == 20
    assert set(np.argsort(secs)[:10]) <= set(kept.tolist())
    assert informative(secs[:5], 20, np.random.default_rng(0)).tolist() == [0, 1, 2, 3, 4]
