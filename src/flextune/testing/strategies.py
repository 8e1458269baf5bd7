"""What every search strategy must pass.

Subclass `StrategySuite` in a test module, say how yours is made, and let pytest find the class:

    class TestMyStrategy(StrategySuite):
        def create(self, solutions, rng, default=None, trials=None):
            return MyStrategy(solutions, rng=rng, default=default, trials=trials)
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from flextune.csp.assignment import Assignment, Assignments
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
FEW = """
var tile_i in {1, 2, 4, 8}
var tile_j in {1, 2, 4, 8}
var unroll in {0, 1, 2}
aux area
area = tile_i * tile_j
area <= 16
"""
"""39 solutions."""
HUGE = "\n".join(f"var v{index} in {{0, 1, 2, 3, 4, 5, 6, 7, 8, 9}}" for index in range(12))
"""10^12 solutions."""
_DIVISORS = "{1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024}"
SPLITS = "\n".join(
    [f"var {axis}{level} in {_DIVISORS}" for axis in "ijk" for level in range(4)]
    + [f"aux tile_{axis}\ntile_{axis} = {axis}2 * {axis}3\n1024 = {axis}0 * {axis}1 * tile_{axis}" for axis in "ijk"]
    + ["aux bytes_a\naux bytes_b\naux bytes\nbytes_a = tile_i * tile_k\nbytes_b = tile_j * tile_k"]
    + ["bytes = bytes_a + bytes_b\nbytes <= 2048"]
)
"""9 026 589 solutions among 3 * 10^12 combinations of values: none is met by luck."""


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


def example_rows() -> SolutionSet:
    """60 solutions given as rows, without any structure."""
    rng = np.random.default_rng(0)
    columns = {name: rng.integers(0, 10, 60) for name in ("block", "unroll", "vector")}
    return SolutionSet.of_rows(Assignments({**columns, "row": np.arange(60)}))


class StrategySuite(ABC):
    """Tests of the contract of `SearchStrategy`."""

    trials = 80
    """How many candidates a run on a large space measures: more than two rounds, where there are rounds."""
    seeded = True
    """Whether the seed changes what is asked; false for a strategy without randomness."""

    @abstractmethod
    def create(
        self,
        solutions: SolutionSet,
        rng: np.random.Generator,
        default: Assignment | None = None,
        trials: int | None = None,
    ) -> SearchStrategy:
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

    def test_uses_up_a_space_without_repeating_the_default_first(self) -> None:
        solutions = solved(SMALL)
        default = solutions.unrank(40)
        run = self._run(solutions, solutions.count + 10, default=default)
        assert run[0] == default
        assert len(run) == solutions.count
        assert set(run) == set(solutions.enumerate())

    def test_space_given_as_rows(self) -> None:
        solutions = example_rows()
        run = self._run(solutions, solutions.count + 10)
        assert len(run) == solutions.count
        assert set(run) == set(solutions.enumerate())

    def test_constrained_space_with_auxiliary_variables(self) -> None:
        solutions = solved(SPLITS)
        run = self._run(solutions, self.trials)
        assert len(set(run)) == len(run) == self.trials
        assert solutions.contains_many(Assignments.of(run, solutions.names)).all()

    def test_huge_space_same_seed_same_run_however_many_are_asked_at_once(self) -> None:
        solutions = solved(HUGE)
        one_by_one, together = (self._run(solutions, self.trials, n=n, seed=3) for n in (1, 64))
        assert one_by_one == together
        assert len(set(together)) == len(together) == self.trials
        assert all(assignment in solutions for assignment in together)

    def test_other_seed_other_run(self) -> None:
        solutions = solved(HUGE)
        same = self._run(solutions, 8, seed=3) == self._run(solutions, 8, seed=4)
        assert same is not self.seeded

    def test_answers_at_most_what_is_asked(self) -> None:
        strategy = self._new(solved(HUGE))
        for n in (1, 2, 7, 40):
            assert 1 <= len(strategy.ask(n)) <= n

    def test_goes_on_after_the_trials_it_was_told_of(self) -> None:
        strategy = self.create(solved(FEW), np.random.default_rng(0), None, 3)
        assert len(self._rest(strategy)) == solved(FEW).count

    def test_told_of_more_trials_than_there_are_solutions(self) -> None:
        strategy = self.create(solved(FEW), np.random.default_rng(0), None, 1000)
        assert len(self._rest(strategy)) == solved(FEW).count

    def test_survives_failures_only(self) -> None:
        solutions = solved(FEW)
        asked = self._rest(self._new(solutions), failed_measurement)
        assert len(asked) == solutions.count

    def test_asking_ahead_repeats_nothing(self) -> None:
        solutions = solved(FEW)
        waiting: list[Sequence[Assignment]] = []
        asked: list[Assignment] = []
        strategy = self._new(solutions)
        while answer := strategy.ask(4):
            asked.extend(answer)
            waiting.append(answer)
            if len(waiting) > 3:
                strategy.tell([example_measurement(assignment) for assignment in waiting.pop(0)])
        assert len(set(asked)) == len(asked) == solutions.count

    def test_default_that_was_told_is_not_asked(self) -> None:
        solutions = solved(FEW)
        default = next(solutions.enumerate())
        strategy = self._new(solutions, default=default)
        strategy.tell([example_measurement(default)])
        assert set(self._rest(strategy)) == set(solutions.enumerate()) - {default}

    def test_resumes_an_earlier_run(self) -> None:
        solutions = solved(FEW)
        earlier = self._run(solutions, 20)
        strategy = self._new(solutions)
        strategy.tell([example_measurement(assignment) for assignment in earlier])
        assert set(self._rest(strategy)) == set(solutions.enumerate()) - set(earlier)

    def test_told_while_others_wait_to_be_asked(self) -> None:
        solutions = solved(FEW)
        strategy = self._new(solutions)
        asked = list(strategy.ask(1))
        others = [assignment for assignment in solutions.enumerate() if assignment not in asked][:20]
        strategy.tell([example_measurement(assignment) for assignment in (*asked, *others)])
        assert set(self._rest(strategy)) == set(solutions.enumerate()) - {*asked, *others}

    def test_ignores_assignments_of_another_space(self) -> None:
        strategy = self._new(solved(FEW))
        strangers = [Assignment({"tile": 4}), Assignment({"tile_i": 8, "tile_j": 8, "unroll": 0, "area": 64})]
        strategy.tell([example_measurement(assignment) for assignment in strangers])
        assert len(self._rest(strategy)) == solved(FEW).count

    def test_telling_again_is_harmless(self) -> None:
        solutions = solved(FEW)
        strategy = self._new(solutions)
        asked = list(strategy.ask(8))
        strategy.tell([example_measurement(assignment) for assignment in asked])
        strategy.tell([failed_measurement(assignment) for assignment in asked])
        assert set(self._rest(strategy)) == set(solutions.enumerate()) - set(asked)

    def _new(self, solutions: SolutionSet, seed: int = 0, default: Assignment | None = None) -> SearchStrategy:
        return self.create(solutions, np.random.default_rng(seed), default)

    def _run(
        self, solutions: SolutionSet, trials: int, n: int = 16, seed: int = 0, default: Assignment | None = None
    ) -> list[Assignment]:
        """What a new strategy asks in its first `trials`."""
        asked: list[Assignment] = []
        for answer in self._answers(self._new(solutions, seed, default), n):
            asked.extend(answer)
            if len(asked) >= trials:
                break
        return asked[:trials]

    def _rest(
        self, strategy: SearchStrategy, measure: Callable[[Assignment], Measurement] = example_measurement
    ) -> list[Assignment]:
        """All that is asked from now on, until the space is used up; each once."""
        asked = [assignment for answer in self._answers(strategy, 8, measure) for assignment in answer]
        assert len(set(asked)) == len(asked)
        return asked

    def _answers(
        self, strategy: SearchStrategy, n: int, measure: Callable[[Assignment], Measurement] = example_measurement
    ) -> Iterator[Sequence[Assignment]]:
        """Ask for `n`, measure, tell; until the strategy says that the space is used up."""
        while answer := strategy.ask(n):
            yield answer
            strategy.tell([measure(assignment) for assignment in answer])
