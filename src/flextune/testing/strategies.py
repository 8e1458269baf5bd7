"""What every search strategy must pass.

Subclass `StrategySuite` in a test module, say how yours is made, and let pytest find the class:

    class TestMyStrategy(StrategySuite):
        def create(self, solutions, rng, default):
            return MyStrategy(solutions, rng=rng, default=default)
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from flextune.csp.assignment import Assignment
from flextune.csp.problem import Problem
from flextune.csp.solutions import SolutionSet
from flextune.search.strategy import SearchStrategy
from flextune.trial.measurement import Measurement, Status

ONE = "var tile in {4}"
TWO = "var tile in {4}\nvar unroll in {0, 1}"
SMALL = """
var tile_i in {1, 2, 4, 8, 16, 32}
var tile_j in {1, 2, 4, 8, 16, 32}
var unroll in {0, 1, 2, 3}
aux area
area = tile_i * tile_j
area <= 64
"""
"""108 solutions, none of which has a tile of more than 64 elements."""
HUGE = "\n".join(f"var v{index} in {{0, 1, 2, 3, 4, 5, 6, 7, 8, 9}}" for index in range(12))
"""10^12 solutions."""


def solved(text: str) -> SolutionSet:
    return Problem.parse(text).solve()


def example_measurement(assignment: Assignment) -> Measurement:
    """A time of the assignment that a strategy can learn; one in seven fails."""
    values = [value for _, value in sorted(assignment.items())]
    if sum(values) % 7 == 3:
        return Measurement(assignment, Status.RUN_ERROR, error="killed by signal 11")
    return Measurement(assignment, Status.OK, (1e-3 * (1 + sum(abs(math.log2(1 + value) - 2) for value in values)),))


def failed_measurement(assignment: Assignment) -> Measurement:
    return Measurement(assignment, Status.BUILD_ERROR, error="no")


class StrategySuite(ABC):
    """Tests of the contract of `SearchStrategy`."""

    trials = 150
    """How many candidates a run on a large space measures."""

    @abstractmethod
    def create(self, solutions: SolutionSet, rng: np.random.Generator, default: Assignment | None) -> SearchStrategy:
        """A new strategy."""

    def test_space_of_one(self) -> None:
        solutions = solved(ONE)
        assert self._run(solutions, 10) == [Assignment({"tile": 4})]
        assert self._run(solutions, 10, default=Assignment({"tile": 4})) == [Assignment({"tile": 4})]

    def test_space_of_two(self) -> None:
        expected = {Assignment({"tile": 4, "unroll": unroll}) for unroll in (0, 1)}
        run = self._run(solved(TWO), 10)
        assert len(run) == 2
        assert set(run) == expected

    def test_uses_up_a_space_without_repeating(self) -> None:
        solutions = solved(SMALL)
        run = self._run(solutions, solutions.count + 10)
        assert len(run) == solutions.count
        assert set(run) == set(solutions.enumerate())

    def test_huge_space(self) -> None:
        solutions = solved(HUGE)
        run = self._run(solutions, self.trials)
        assert len(set(run)) == len(run) == self.trials
        assert all(assignment in solutions for assignment in run)

    def test_answers_at_most_what_is_asked(self) -> None:
        strategy = self._new(solved(HUGE))
        for n in (1, 2, 7, 40):
            assert 1 <= len(strategy.ask(n)) <= n

    def test_same_seed_same_run(self) -> None:
        solutions = solved(HUGE)
        assert self._run(solutions, self.trials, seed=3) == self._run(solutions, self.trials, seed=3)

    def test_other_seed_other_run(self) -> None:
        solutions = solved(HUGE)
        assert self._run(solutions, 20, seed=3) != self._run(solutions, 20, seed=4)

    def test_number_asked_at_once_does_not_matter(self) -> None:
        solutions = solved(HUGE)
        runs = [self._run(solutions, self.trials, n=n)[: self.trials] for n in (1, 5, 64)]
        assert runs[0] == runs[1] == runs[2]

    def test_survives_failures_only(self) -> None:
        strategy = self._new(solved(SMALL))
        asked = [assignment for answer in self._answers(strategy, 8, failed_measurement) for assignment in answer]
        assert len(set(asked)) == len(asked) == solved(SMALL).count

    def test_asking_ahead_repeats_nothing(self) -> None:
        solutions = solved(SMALL)
        waiting: list[Sequence[Assignment]] = []
        asked: list[Assignment] = []
        strategy = self._new(solutions)
        while answer := strategy.ask(4):
            asked.extend(answer)
            waiting.append(answer)
            if len(waiting) > 3:
                strategy.tell([example_measurement(assignment) for assignment in waiting.pop(0)])
        assert len(set(asked)) == len(asked) == solutions.count

    def test_default_is_first(self) -> None:
        solutions = solved(SMALL)
        default = next(solutions.enumerate())
        run = self._run(solutions, solutions.count, default=default)
        assert run[0] == default
        assert len(set(run)) == len(run) == solutions.count

    def test_default_that_was_told_is_not_asked(self) -> None:
        solutions = solved(SMALL)
        default = next(solutions.enumerate())
        strategy = self._new(solutions, default=default)
        strategy.tell([example_measurement(default)])
        assert default not in [assignment for answer in self._answers(strategy, 8) for assignment in answer]

    def test_resumes_from_measurements_it_never_asked_for(self) -> None:
        solutions = solved(SMALL)
        earlier = list(solutions.enumerate())[::2]
        strategy = self._new(solutions)
        strategy.tell([example_measurement(assignment) for assignment in earlier])
        asked = [assignment for answer in self._answers(strategy, 8) for assignment in answer]
        assert len(asked) == solutions.count - len(earlier)
        assert set(asked).isdisjoint(earlier)

    def test_told_while_others_wait_to_be_asked(self) -> None:
        solutions = solved(SMALL)
        strategy = self._new(solutions)
        asked = list(strategy.ask(1))
        others = [assignment for assignment in solutions.enumerate() if assignment not in asked][:60]
        strategy.tell([example_measurement(assignment) for assignment in (*asked, *others)])
        rest = [assignment for answer in self._answers(strategy, 8) for assignment in answer]
        assert set(rest).isdisjoint([*asked, *others])
        assert len(rest) == solutions.count - 61

    def test_ignores_assignments_of_another_space(self) -> None:
        strategy = self._new(solved(SMALL))
        strangers = [Assignment({"tile": 4}), Assignment({"tile_i": 32, "tile_j": 32, "unroll": 0, "area": 1024})]
        strategy.tell([example_measurement(assignment) for assignment in strangers])
        asked = [assignment for answer in self._answers(strategy, 8) for assignment in answer]
        assert len(asked) == solved(SMALL).count

    def test_telling_again_is_harmless(self) -> None:
        solutions = solved(SMALL)
        strategy = self._new(solutions)
        asked = list(strategy.ask(8))
        strategy.tell([example_measurement(assignment) for assignment in asked])
        strategy.tell([failed_measurement(assignment) for assignment in asked])
        asked += [assignment for answer in self._answers(strategy, 8) for assignment in answer]
        assert len(set(asked)) == len(asked) == solutions.count

    def _new(self, solutions: SolutionSet, seed: int = 0, default: Assignment | None = None) -> SearchStrategy:
        return self.create(solutions, np.random.default_rng(seed), default)

    def _run(
        self, solutions: SolutionSet, trials: int, n: int = 16, seed: int = 0, default: Assignment | None = None
    ) -> list[Assignment]:
        asked: list[Assignment] = []
        for answer in self._answers(self._new(solutions, seed, default), n):
            asked.extend(answer)
            if len(asked) >= trials:
                break
        return asked[:trials]

    def _answers(
        self, strategy: SearchStrategy, n: int, measure: Callable[[Assignment], Measurement] = example_measurement
    ) -> Iterator[Sequence[Assignment]]:
        """Ask for `n`, measure, tell; until the strategy says that the space is used up."""
        while answer := strategy.ask(n):
            yield answer
            strategy.tell([measure(assignment) for assignment in answer])
