"""Simulated annealing among solutions (Kirkpatrick, Gelatt and Vecchi, Science 220, 1983), Heron's baseline SA.

A few chains walk side by side. A step gives one variable another value, and changes the others as little as the
constraints ask for; so it always ends on a solution. A measured step is taken if it is faster, and otherwise with
probability exp(-log(time / time so far) / T): at T = 0.1, one that takes 10 % longer is taken in two cases of
five. T falls in a line to zero over the trials that are to be made (1000 where nobody said), and then starts over.

With a cost model what is measured next is the end of a walk on predictions, as in Heron: a number of steps that are
taken or not by the model's word at the same temperature.

Where a chain finds nothing unmeasured around it, it starts again elsewhere. After a restart of the program chains begin
at the best that is known.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from flextune.csp.assignment import Assignment, Assignments
from flextune.search.encoding import Encoding
from flextune.search.rounds import RoundStrategy
from flextune.search.strategy import Ranking
from flextune.search.strategy_options import StrategyOptions, option
from flextune.search.unseen import joined, row_keys

_TRIES = (1, 3, 16)
"""How many moves are looked at for one that was not measured before: first one, then more."""
_TRIALS = 1000
_LEAST_TEMPERATURE = 1e-9


@dataclass(frozen=True, slots=True)
class AnnealingOptions(StrategyOptions):
    """`temperature` is that of the start, in logarithms of time; `steps` are those of a walk on predictions."""

    chains: int = option(2, low=1, high=1024)
    temperature: float = option(0.1, low=0, high=100)
    steps: int = option(8, low=1, high=1000)


@dataclass(slots=True)
class Chain:
    """Where a chain is, if anywhere yet, and what was asked to be measured for it."""

    at: Assignment | None = None
    asked: Assignment | None = None


class AnnealingStrategy(RoundStrategy[AnnealingOptions]):
    """Simulated annealing in steps from solution to solution."""

    options_type = AnnealingOptions
    source = "Kirkpatrick et al., Science 220 (1983); Heron's baseline SA"

    def propose(self) -> Assignments:
        for chain in self._chains:
            self._settle(chain)
        chosen = [self.solutions.sample(self.rng, 0)]
        for chain, start in zip(self._chains[: self.unseen.count], self._starts(), strict=False):
            step = self._step(start, joined(chosen))
            if not len(step):
                chain.at = None
                step = self.unseen.draw(self.rng, 1, besides=joined(chosen))
            chain.asked = step[0]
            chosen.append(step)
        return joined(chosen)

    @cached_property
    def encoding(self) -> Encoding:
        return Encoding(self.solutions)

    @property
    def temperature(self) -> float:
        """Falls from the option's to zero over the trials."""
        trials = self.trials or _TRIALS
        return self.options.temperature * (1 - len(self.history) % trials / trials)

    @cached_property
    def _chains(self) -> list[Chain]:
        best = self.history.assignments().take(self.history.best(self.options.chains))
        return [Chain(best[index] if index < len(best) else None) for index in range(self.options.chains)]

    def _settle(self, chain: Chain) -> None:
        """Moves a chain to what was measured for it, or leaves it where it was."""
        secs = self.history.secs_of(chain.asked) if chain.asked is not None else None
        if secs is None:  # nothing was asked, or the caller asks ahead
            return
        here = self.history.secs_of(chain.at) if chain.at is not None else None
        if accepts(self.rng, math.inf if here is None else here, secs, self.temperature):
            chain.at = chain.asked
        chain.asked = None

    def _starts(self) -> list[Assignment | None]:
        """Where each chain's next step starts from: where it is, or where a walk on predictions leads it."""
        starts = [chain.at for chain in self._chains]
        begun = [index for index, start in enumerate(starts) if start is not None]
        if self.cost_model is None or not begun:
            return starts
        places = Assignments.of([start for start in starts if start is not None], self.solutions.names)
        for index, place in zip(begun, self._walked(places, self.cost_model), strict=True):
            starts[index] = place
        return starts

    def _walked(self, places: Assignments, model: Ranking) -> Assignments:
        """After some steps from each place that are taken by the same rule, on predicted fitness."""
        fitness = model.predict(places)
        for _ in range(self.options.steps):
            moved = self.encoding.moves(places, self.rng)
            predicted = model.predict(moved)
            chance = np.exp(np.minimum(predicted - fitness, 0) / max(self.temperature, _LEAST_TEMPERATURE))
            taken = self.rng.random(len(places)) < chance
            rows = np.arange(len(places)) + len(places) * taken
            places, fitness = joined([places, moved]).take(rows), np.where(taken, predicted, fitness)
        return places

    def _step(self, start: Assignment | None, chosen: Assignments) -> Assignments:
        """An unmeasured solution beside the start (or where a walk has led, itself); none if none is found."""
        nothing = chosen.take(np.zeros(0, dtype=np.intp))
        if start is None:
            return nothing
        known = set(row_keys(chosen, self.solutions.names))
        for tries in _TRIES:
            beside = Assignments.of([start] * tries, self.solutions.names)
            moved = self.encoding.moves(beside, self.rng)
            fresh = self.unseen.fresh(joined([beside, moved]), known)[:1]
            if len(fresh):
                return joined([beside, moved]).take(fresh)
        return nothing


def accepts(rng: np.random.Generator, secs: float, proposed_secs: float, temperature: float) -> bool:
    """Metropolis' rule on logarithms of time: always for what is as fast; never for a failure."""
    if proposed_secs <= secs:
        return math.isfinite(proposed_secs)
    if not math.isfinite(proposed_secs):
        return False
    return float(rng.random()) < math.exp(-math.log(proposed_secs / secs) / max(temperature, _LEAST_TEMPERATURE))
