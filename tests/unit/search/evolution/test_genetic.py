"""The genetic algorithms that differ in what becomes of infeasible combinations."""

import numpy as np
import pytest

from flextune.csp.assignment import Assignments
from flextune.csp.constraint import In
from flextune.search.evolution.ga import GaOptions, GaStrategy
from flextune.search.evolution.genetic import Population, couples, merged, mutated, one_point, rescaled
from flextune.search.evolution.idea import (
    IdeaOptions,
    IdeaStrategy,
    crowding_distance,
    front_order,
    polynomial,
    simulated_binary,
)
from flextune.search.evolution.sat_decoder import SatDecoderOptions, SatDecoderStrategy
from flextune.search.evolution.stochastic_ranking import (
    StochasticRankingOptions,
    StochasticRankingStrategy,
    stochastic_ranking,
)
from flextune.search.strategy_registry import create_strategy
from flextune.testing.cost_models import measured
from flextune.testing.strategies import SMALL, SPLITS, example_measurement, solved


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def started(strategy_type, options, text=SPLITS):
    """A strategy that was told of its first round."""
    strategy = strategy_type(solved(text), rng=np.random.default_rng(0), options=options)
    strategy.tell([example_measurement(assignment) for assignment in strategy.ask(32)])
    return strategy


def recorded_generations(monkeypatch, strategy):
    """The children that a strategy breeds, as it rates them."""
    seen = []
    grown = strategy._grown
    monkeypatch.setattr(strategy, "_grown", lambda genotypes: seen.append(grown(genotypes)) or seen[-1])
    strategy.propose()
    return seen


def population(fitness, violations):
    rows = len(fitness)
    return Population(
        np.arange(rows, dtype=np.float64)[:, None],
        Assignments({"a": np.arange(rows)}),
        np.array(violations),
        np.array(fitness, dtype=np.float64),
    )


class TestOperators:
    def test_a_couple_is_two(self, rng):
        pairs = couples(rng, 5, 300)
        assert (pairs[:, 0] != pairs[:, 1]).all()
        assert set(pairs.ravel().tolist()) == set(range(5))
        assert couples(rng, 1, 3).tolist() == [[0, 0]] * 3

    def test_one_point_takes_the_first_part_of_one_and_the_rest_of_the_other(self, rng):
        children = one_point(rng, np.zeros((200, 6)), np.ones((200, 6)))
        assert (np.diff(children, axis=1) >= 0).all()
        assert set(children.sum(axis=1).tolist()) == {0, 1, 2, 3, 4, 5, 6}

    def test_mutation_has_its_chance(self, rng):
        assert abs(mutated(rng, np.zeros((400, 50)), np.ones((400, 50)), 0.1).mean() - 0.1) < 0.01
        assert mutated(rng, np.zeros((4, 5)), np.ones((4, 5)), 0).sum() == 0

    def test_coordinates_become_positions(self):
        assert rescaled(np.array([[0.49, -3.0, 7.0]]), np.array([3, 5, 5])).tolist() == [[1, 0, 4]]

    def test_simulated_binary_keeps_the_middle_and_about_the_distance(self, rng):
        first, second = np.full((4000, 1), 0.2), np.full((4000, 1), 0.6)
        children = simulated_binary(rng, first, second)
        off = np.abs(children - 0.4)
        assert abs(np.median(off) - 0.2) < 0.01
        assert (np.abs(off - 0.2) < 0.05).mean() > 0.85
        assert (children > 0.4).mean() == pytest.approx(0.45, abs=0.03)  # one in ten is its first parent

    def test_polynomial_mutation_is_small_and_even(self, rng):
        moved = polynomial(rng, np.full((4000, 1), 0.5)) - 0.5
        assert abs(moved.mean()) < 0.005
        assert 0.01 < np.abs(moved).mean() < 0.06


class TestFrame:
    def test_a_first_round_is_random_until_something_has_run(self):
        strategy = started(GaStrategy, GaOptions())
        failed = GaStrategy(solved(SPLITS), rng=np.random.default_rng(0))
        failed.tell(measured(failed.ask(32), np.full(32, np.inf)))
        assert failed.ask(32)
        assert "encoding" not in vars(failed)
        assert strategy.ask(32)
        assert "encoding" in vars(strategy)

    def test_only_solutions_are_asked_though_others_live(self, monkeypatch):
        strategy = started(StochasticRankingStrategy, StochasticRankingOptions())
        children = merged(recorded_generations(monkeypatch, strategy))
        assert (children.violations > 0).mean() > 0.3
        asked = strategy.propose()
        assert strategy.solutions.contains_many(asked).all()

    def test_a_generation_lives_on_in_the_next_round(self):
        strategy = started(StochasticRankingStrategy, StochasticRankingOptions(generations=1))
        strategy.propose()
        last = strategy._last.assignments
        assert len(strategy._first_generation()) == 200 + len(strategy.history.best(32)) + len(last)

    @pytest.mark.parametrize("name", ["ga", "stochastic-ranking", "sat-decoder", "idea"])
    def test_finds_better_ones_than_chance(self, name):
        assert np.mean([best_secs(name, seed) for seed in range(3)]) < 0.8 * np.mean(
            [best_secs("random", seed) for seed in range(3)]
        )


def best_secs(name, seed):
    """After 160 trials: distance in exponents of i1 and i2 from 8, of k3 from 16."""
    solutions = solved(SPLITS)
    strategy = create_strategy(name, solutions, rng=np.random.default_rng(seed), options={"round_size": "32"})
    found = []
    while len(found) < 160:
        asked = strategy.ask(32)
        columns = Assignments.of(asked, ("i1", "i2", "k3")).columns
        away = sum(np.abs(np.log2(columns[name] / best)) for name, best in (("i1", 8), ("i2", 8), ("k3", 16)))
        strategy.tell(measured(asked, 1.0 + away))
        found += (1.0 + away).tolist()
    return min(found)


class TestGa:
    def test_discarded_children_have_no_children(self):
        strategy = started(GaStrategy, GaOptions())
        survivors = strategy.survivors(population([0.5, 0.9, 0.1], [0, 2, 0]))
        assert survivors.fitness.tolist() == [0.5, 0.1]

    def test_most_children_are_lost_where_constraints_are_tight(self, monkeypatch):
        strategy = started(GaStrategy, GaOptions())
        children = merged(recorded_generations(monkeypatch, strategy))
        assert 0.02 < (children.violations == 0).mean() < 0.7

    def test_repaired_children_are_solutions(self, monkeypatch):
        strategy = started(GaStrategy, GaOptions(infeasible="repair", mutation=0.3))
        children = merged(recorded_generations(monkeypatch, strategy))
        assert (children.violations == 0).all()

    def test_repair_leaves_solutions_alone(self):
        strategy = started(GaStrategy, GaOptions(infeasible="repair"))
        sample = strategy.encoding.positions(strategy.solutions.sample(strategy.rng, 10)).astype(np.float64)
        assert (strategy._repaired(sample.copy()) == sample).all()


class TestStochasticRanking:
    fitness = np.array([0.1, 0.9, 0.5, 0.7, 0.3])
    violations = np.array([0, 3, 0, 1, 1])

    def test_by_violation_where_pf_is_0(self, rng):
        order = stochastic_ranking(rng, self.fitness, self.violations, 0.0)
        assert self.violations[order].tolist() == [0, 0, 1, 1, 3]
        assert order[:2].tolist() == [2, 0]

    def test_by_fitness_where_pf_is_1(self, rng):
        assert stochastic_ranking(rng, self.fitness, self.violations, 1.0).tolist() == [1, 3, 2, 4, 0]

    def test_by_fitness_where_all_are_solutions(self, rng):
        assert stochastic_ranking(rng, self.fitness, np.zeros(5, dtype=np.int64), 0.0).tolist() == [1, 3, 2, 4, 0]

    def test_in_between_is_in_between(self, rng):
        """An infeasible one with the best fitness comes first at times, and more often the higher pf is."""
        first = {
            pf: np.mean([stochastic_ranking(rng, self.fitness, self.violations, pf)[0] == 1 for _ in range(300)])
            for pf in (0.2, 0.45, 0.8)
        }
        assert 0 <= first[0.2] < first[0.45] < first[0.8] < 1

    def test_the_best_ranked_are_parents(self):
        strategy = started(StochasticRankingStrategy, StochasticRankingOptions(pf=0, parents=2))
        assert strategy.selected(population(self.fitness, self.violations)).fitness.tolist() == [0.5, 0.1]

    def test_of_one_or_none(self, rng):
        assert stochastic_ranking(rng, np.ones(1), np.ones(1, dtype=np.int64), 0.5).tolist() == [0]
        assert stochastic_ranking(rng, np.ones(0), np.ones(0, dtype=np.int64), 0.5).tolist() == []


class TestSatDecoder:
    @pytest.mark.parametrize("text", [SMALL, SPLITS])
    def test_every_genotype_is_a_solution(self, text, rng):
        strategy = started(SatDecoderStrategy, SatDecoderOptions(), text)
        decoded = strategy.decoded(strategy.encoded(strategy.encoding.random(rng, 300)))
        assert strategy.solutions.contains_many(decoded).all()
        assert len(set(decoded)) > 60

    def test_a_solution_decodes_to_itself(self, rng):
        strategy = started(SatDecoderStrategy, SatDecoderOptions())
        sample = strategy.solutions.sample(rng, 50)
        assert list(strategy.decoded(strategy.encoded(strategy.encoding.positions(sample)))) == list(sample)

    def test_decides_as_a_solver_with_this_branching_order(self, rng):
        """One variable after the other has what it wants, unless what is decided leaves no solution that has it."""
        strategy = started(SatDecoderStrategy, SatDecoderOptions())
        encoding = strategy.encoding
        genotypes = strategy.encoded(encoding.random(rng, 40))
        for genotype, found in zip(genotypes, strategy.decoded(genotypes), strict=True):
            priorities, wanted = np.split(genotype, 2)
            left = strategy.solutions
            for gene in np.argsort(-priorities).tolist():
                name, value = encoding.names[gene], int(encoding.values[gene][int(wanted[gene])])
                branch = left.restrict([In(name, (value,))])
                assert (found[name] == value) == (branch.count > 0)
                left = left.restrict([In(name, (found[name],))])
            assert left.count == 1

    def test_priorities_matter(self, rng):
        """Both want 1024 of a split of 1024: the one that is branched on first has it."""
        strategy = started(SatDecoderStrategy, SatDecoderOptions())
        names = strategy.encoding.names
        genotype = strategy.encoded(np.zeros((1, len(names)), dtype=np.int64))
        wanted = genotype[:, len(names) :]
        wanted[0, [names.index("i0"), names.index("i1")]] = 10
        decoded = []
        for first in ("i0", "i1"):
            genotype[0, : len(names)] = 0.5
            genotype[0, names.index(first)] = 1
            decoded.append(strategy.decoded(genotype)[0])
        assert [found["i0"] for found in decoded] == [1024, 1]
        assert [found["i1"] for found in decoded] == [1, 1024]

    def test_priorities_evolve_or_are_random(self):
        for evolve in (True, False):
            strategy = started(SatDecoderStrategy, SatDecoderOptions(priorities=evolve, mutation=0))
            parents = strategy._first_generation()
            genes = strategy.encoding.genes
            kept = np.isin(strategy.bred(parents)[:, :genes], parents.genotypes[:, :genes])
            assert kept.all() if evolve else not kept.any()


class TestIdea:
    def test_a_share_of_the_population_is_infeasible_and_comes_first(self):
        strategy = started(IdeaStrategy, IdeaOptions(parents=10, alpha=0.2))
        fitness = np.linspace(0, 1, 40)
        selected = strategy.selected(population(fitness, [3] * 20 + [0] * 20))
        assert selected.violations.tolist() == [3, 3] + [0] * 8
        assert selected.fitness[:2].max() == pytest.approx(fitness[:20].max())
        assert selected.fitness[2:].tolist() == fitness[:31:-1].tolist()

    def test_where_one_kind_lacks_the_other_fills_up(self):
        strategy = started(IdeaStrategy, IdeaOptions(parents=10))
        only_solutions = strategy.selected(population(np.ones(15), [0] * 15))
        assert len(only_solutions) == 10
        assert len(strategy.selected(population(np.ones(15), [1] * 12 + [0] * 3)).feasible()) == 3

    def test_fronts_before_what_they_dominate(self):
        fitness = np.array([0.9, 0.5, 0.4, 0.8, 0.1])
        violations = np.array([3, 1, 1, 3, 4])
        order = front_order(fitness, violations).tolist()
        assert set(order[:2]) == {0, 1}  # nothing is better in both
        assert set(order[2:4]) == {2, 3}
        assert order[4] == 4

    def test_room_around_counts_within_a_front(self):
        fitness = np.array([0.0, 0.1, 0.2, 0.9, 1.0])
        violations = np.array([1, 2, 3, 9, 10])
        order = front_order(fitness, violations).tolist()
        assert set(order[:2]) == {0, 4}
        assert order[2:] == [2, 3, 1]

    def test_crowding(self):
        assert crowding_distance(np.array([3.0, 1.0, 2.0])).tolist() == [np.inf, np.inf, 1.0]
        assert crowding_distance(np.array([1.0, 1.0])).tolist() == [np.inf, np.inf]
        assert np.isfinite(crowding_distance(np.ones(5))[1:-1]).all()

    def test_infeasible_ones_live_on(self):
        strategy = started(IdeaStrategy, IdeaOptions())
        strategy.propose()
        share = (strategy.selected(strategy._last).violations > 0).mean()
        assert share == pytest.approx(0.2)
