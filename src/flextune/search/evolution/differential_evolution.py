"""Differential evolution (Storn and Price, J. Global Optimization 11, 1997) among solutions.

Every member of the population is challenged by a trial: where the difference of two other members, times `weight`,
leads from a third one (`rand1`), from the best (`best1`), or from the member moved towards the best
(`current-to-best1`); mixed with the member itself, coordinate by coordinate, with probability `crossover`. A trial that
is as fast takes its member's place. A generation of trials is a round.

Coordinates are positions of values, scaled to [0, 1]. A trial is measured as the unmeasured solution nearest to it. A
member is a random solution to begin with, and again after a failure; after a restart of the program half of the
population are the best known.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from flextune.csp.assignment import Assignment, Assignments
from flextune.search.encoding import Coordinates, Encoding
from flextune.search.repair import nearest_unseen
from flextune.search.rounds import RoundStrategy
from flextune.search.strategy_options import StrategyOptions, option
from flextune.search.unseen import joined


@dataclass(frozen=True, slots=True)
class DifferentialEvolutionOptions(StrategyOptions):
    """The names are those of the module's description."""

    population: int = option(16, low=4, high=1024)
    weight: float = option(0.7, low=0, high=2)
    crossover: float = option(0.7, low=0, high=1)
    variant: str = option("best1", choices=("rand1", "best1", "current-to-best1"))


@dataclass(slots=True)
class Member:
    """A measured solution (None: not yet), and the trial that challenges it."""

    at: Assignment | None = None
    trial: Assignment | None = None


class DifferentialEvolutionStrategy(RoundStrategy[DifferentialEvolutionOptions]):
    """Differential evolution on positions of values, trials moved to the nearest unmeasured solution."""

    options_type = DifferentialEvolutionOptions
    source = "Storn & Price, J. Global Optimization 11 (1997)"

    def propose(self) -> Assignments:
        for member in self._members:
            self._settle(member)
        living = [member for member in self._members if member.at is not None]
        others = [member for member in self._members if member.at is None]
        trials = self._trials(living) if len(living) > 3 else self.solutions.sample(self.rng, 0)
        drawn = self.unseen.draw(self.rng, self.options.population - len(trials), besides=trials)
        challenged = [*living[: len(trials)], *others, *living[len(trials) :]]
        round_ = joined([trials, drawn])
        for member, trial in zip(challenged, round_, strict=False):
            member.trial = trial
        return round_

    @cached_property
    def encoding(self) -> Encoding:
        return Encoding(self.solutions)

    @cached_property
    def _members(self) -> list[Member]:
        best = self.history.assignments().take(self.history.best(self.options.population // 2))
        unknown = self.options.population - len(best)
        return [*map(Member, best), *(Member() for _ in range(unknown))]

    def _settle(self, member: Member) -> None:
        """The faster of a member and its trial, as far as both are known."""
        secs = self.history.secs_of(member.trial) if member.trial is not None else None
        if secs is not None:
            if math.isfinite(secs) and secs <= self._secs(member):
                member.at = member.trial
            member.trial = None

    def _secs(self, member: Member) -> float:
        secs = self.history.secs_of(member.at) if member.at is not None else None
        return math.inf if secs is None else secs

    def _trials(self, members: list[Member]) -> Assignments:
        places = Assignments.of([member.at for member in members if member.at is not None], self.solutions.names)
        points = self.encoding.scaled(self.encoding.positions(places))
        best = int(np.argmin([self._secs(member) for member in members]))
        mutants = mutant_points(self.rng, points, best, self.options.weight, self.options.variant)
        return nearest_unseen(
            self.encoding, self.unseen, self.rng, crossed(self.rng, points, mutants, self.options.crossover)
        )


def mutant_points(rng: np.random.Generator, points: Coordinates, best: int, weight: float, variant: str) -> Coordinates:
    """One mutant per point; what leaves the unit cube is put back on its border."""
    base, first, second = distinct_others(rng, len(points)).T
    difference = weight * (points[first] - points[second])
    start = {
        "rand1": points[base],
        "best1": np.broadcast_to(points[best], points.shape),
        "current-to-best1": points + weight * (points[best] - points),
    }[variant]
    return np.asarray(np.clip(start + difference, 0, 1), dtype=np.float64)


def distinct_others(rng: np.random.Generator, n: int) -> npt.NDArray[np.intp]:
    """For each of `n` points (at least 4), three different other ones; shape (n, 3)."""
    return np.array([rng.choice(np.delete(np.arange(n), index), size=3, replace=False) for index in range(n)])


def crossed(rng: np.random.Generator, points: Coordinates, mutants: Coordinates, chance: float) -> Coordinates:
    """Binomial crossover: the mutants' coordinates with some chance each, and one for certain; else the points'."""
    taken = rng.random(points.shape) < chance
    if points.shape[1]:
        taken[np.arange(len(points)), rng.integers(points.shape[1], size=len(points))] = True
    return np.where(taken, mutants, points)
