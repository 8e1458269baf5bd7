"""Dual annealing: generalised simulated annealing with a local search after every gain.

Generalised simulated annealing (Tsallis and Stariolo, Physica A 233, 1996; the schedule of Xiang, Sun, Fan and Gong,
Phys. Lett. A 233, 1997) jumps by a distribution with heavy tails, the wider the hotter: a distorted Cauchy-Lorentz
distribution of index `visit` = 2.62. A worse point is taken with the probability of a generalised Metropolis rule of
index `accept` = -5. Each sweep moves all coordinates at once, as often as there are any, and then one after the other.

What is special here: coordinates are positions of values, scaled to [0, 1]; a jump leads to the unmeasured solution
nearest to where it lands; energies are logarithms of time; the temperature starts at 50 instead of the usual 5230,
which would not cool down within some hundred trials; and the local search goes from solution to neighbour (see
`SolutionSet.neighbours`), to the first faster one, until there is none.
"""

from __future__ import annotations

import math
from collections.abc import Generator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from flextune.csp.assignment import Assignment, Assignments
from flextune.search.encoding import Coordinates, Encoding
from flextune.search.repair import nearest_unseen
from flextune.search.sequential import Evaluations, SequentialStrategy
from flextune.search.strategy_options import StrategyOptions, option

_TAIL = 1e8
"""Jumps are cut off here, before they wrap around."""
_RESTART = 2e-5
"""The part of the temperature at which it starts again."""


@dataclass(frozen=True, slots=True)
class DualAnnealingOptions(StrategyOptions):
    """`temperature` is the visiting distribution's at the start; `local_search` says whether gains are followed up."""

    temperature: float = option(50.0, low=0.02, high=50_000)
    visit: float = option(2.62, low=1.01, high=2.99)
    accept: float = option(-5.0, low=-10_000, high=-1)
    local_search: bool = option(True)


@dataclass(frozen=True, slots=True)
class State:
    """A measured solution and its time in seconds."""

    assignment: Assignment
    secs: float


class DualAnnealingStrategy(SequentialStrategy[DualAnnealingOptions]):
    """Generalised simulated annealing with heavy-tailed jumps, and local search after every gain."""

    options_type = DualAnnealingOptions
    source = "Tsallis & Stariolo 1996; Xiang et al. 1997"

    def evaluations(self) -> Evaluations:
        here = yield from self._start()
        best = here
        sweep = 0
        while self.encoding.genes:
            temperature = cooled(self.options.temperature, self.options.visit, sweep)
            if temperature < self.options.temperature * _RESTART:
                return
            gained = False
            for gene in [None] * self.encoding.genes + list(range(self.encoding.genes)):
                visited = yield from self._evaluated(self._jump(here.assignment, temperature, gene))
                if accepted(self.rng, here.secs, visited.secs, self.options.accept, temperature / (sweep + 1)):
                    here = visited
                if visited.secs < best.secs:
                    best, gained = visited, True
            if gained and self.options.local_search:
                here = best = yield from self._descent(best)
            sweep += 1

    @cached_property
    def encoding(self) -> Encoding:
        return Encoding(self.solutions)

    def _start(self) -> Generator[Assignment, float, State]:
        """The best that is known on the first start, a random solution on every later one."""
        best = self.history.best(1)
        if len(best) and not self._started:
            start = self.history.assignments()[int(best[0])]
        else:
            start = self.unseen.draw(self.rng, 1)[0]
        self._started = True
        return (yield from self._evaluated(start))

    _started = False

    def _evaluated(self, assignment: Assignment) -> Generator[Assignment, float, State]:
        return State(assignment, (yield assignment))

    def _jump(self, start: Assignment, temperature: float, gene: int | None) -> Assignment:
        """The unmeasured solution nearest to a visit, which moves one coordinate or (None) all of them."""
        position = Assignments.of([start], self.solutions.names)
        point = self.encoding.scaled(self.encoding.positions(position))
        moved = slice(None) if gene is None else slice(gene, gene + 1)
        point[:, moved] = visited_point(self.rng, point[:, moved], temperature, self.options.visit)
        return nearest_unseen(self.encoding, self.unseen, self.rng, point)[0]

    def _descent(self, start: State) -> Generator[Assignment, float, State]:
        here = start
        better: State | None = start
        while better is not None:
            here = better
            better = yield from self._faster_neighbour(here)
        return here

    def _faster_neighbour(self, here: State) -> Generator[Assignment, float, State | None]:
        neighbours = self.solutions.neighbours(here.assignment)
        for index in self.rng.permutation(len(neighbours)).tolist():
            beside = yield from self._evaluated(neighbours[index])
            if beside.secs < here.secs:
                return beside
        return None


def cooled(temperature: float, visit: float, sweep: int) -> float:
    """The visiting temperature of a sweep, counted from 0."""
    return temperature * math.expm1((visit - 1) * math.log(2)) / math.expm1((visit - 1) * math.log(2 + sweep))


def visited_point(rng: np.random.Generator, point: Coordinates, temperature: float, visit: float) -> Coordinates:
    """The point after a jump; what leaves the unit cube comes in from the other side."""
    return np.asarray(np.mod(point + visiting_steps(rng, temperature, visit, point.shape), 1.0), dtype=np.float64)


def visiting_steps(
    rng: np.random.Generator, temperature: float, visit: float, shape: tuple[int, ...]
) -> npt.NDArray[np.float64]:
    """Jumps by the distorted Cauchy-Lorentz distribution (Tsallis and Stariolo, appendix)."""
    factor1 = math.exp(math.log(temperature) / (visit - 1))
    factor2 = math.exp((4 - visit) * math.log(visit - 1))
    factor3 = math.exp((2 - visit) * math.log(2) / (visit - 1))
    factor4 = math.sqrt(math.pi) * factor1 * factor2 / (factor3 * (3 - visit))
    factor5 = 1 / (visit - 1) - 0.5
    factor6 = math.pi * (1 - factor5) / math.sin(math.pi * (1 - factor5)) / math.exp(math.lgamma(2 - factor5))
    scale = math.exp(-(visit - 1) * math.log(factor6 / factor4) / (3 - visit))
    normal, other = rng.standard_normal((2, *shape))
    steps = scale * normal / np.exp((visit - 1) * np.log(np.abs(other)) / (3 - visit))
    return np.asarray(np.clip(steps, -_TAIL, _TAIL), dtype=np.float64)


def accepted(rng: np.random.Generator, secs: float, visited_secs: float, accept: float, temperature: float) -> bool:
    """The generalised Metropolis rule on logarithms of time; a failure is never better than anything."""
    if visited_secs <= secs:
        return math.isfinite(visited_secs) or not math.isfinite(secs)
    if not math.isfinite(visited_secs):
        return False
    base = 1 - (1 - accept) * math.log(visited_secs / secs) / temperature
    return base > 0 and float(rng.random()) < base ** (1 / (1 - accept))
