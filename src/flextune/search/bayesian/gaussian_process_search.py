"""Bayesian optimisation: the candidate with the largest expected improvement under a Gaussian process.

Jones, Schonlau and Welch, "Efficient global optimization of expensive black-box functions", 1998; for tuning spaces of
GPU kernels Willemsen, van Nieuwpoort and van Werkhoven, "Bayesian optimization for auto-tuning GPU kernels", PMBS 2021.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

from flextune.csp.assignment import Assignment, Assignments
from flextune.search.bayesian.acquisition import Acquisition, AcquisitionOptions
from flextune.search.bayesian.candidate_pool import CandidatePools, PoolOptions
from flextune.search.bayesian.initial_design import InitialDesign
from flextune.search.bayesian.refinement import Refinement, RefinementOptions
from flextune.search.encoding import Encoding
from flextune.search.rounds import RoundStrategy
from flextune.search.strategy_options import StrategyOptions, option
from flextune.surrogate.covariance import Array
from flextune.surrogate.feature_map import FeatureMap


@dataclass(frozen=True, slots=True)
class GaussianProcessSearchOptions(StrategyOptions):
    """`start` assignments that are far apart come first. See `AcquisitionOptions` for the model's options."""

    round_size: int = option(1, low=1, high=256)
    """Assignments chosen together."""
    start: int = option(5, low=1, high=1000)
    start_candidates: int = option(500, low=1, high=100_000)
    """Random ones that each of the first is chosen from."""
    cap: float = option(0.5, low=0.05, high=1)
    """See `AcquisitionOptions`."""
    rows: int = option(500, low=10, high=4000)
    """See `AcquisitionOptions`."""
    kernel_rows: int = option(200, low=10, high=1000)
    """See `AcquisitionOptions`."""
    refit_growth: float = option(0.1, low=0, high=10)
    """See `AcquisitionOptions`."""
    whole: int = option(30_000, low=1, high=200_000)
    """See `PoolOptions`."""
    samples: int = option(10_000, low=1, high=100_000)
    """See `PoolOptions`."""


BayesianOptions = TypeVar("BayesianOptions", bound=GaussianProcessSearchOptions)


class BayesianStrategy(RoundStrategy[BayesianOptions]):
    """An initial design, then what `follow` says: here the maximum of the acquisition function."""

    def prepare(self) -> None:
        given = self.options
        self.encoding = Encoding(self.solutions)
        self._design = InitialDesign(given.start, given.start_candidates)
        refinement = Refinement(self.solutions, self.encoding, self.unseen, RefinementOptions())
        choices = FeatureMap.choices(self.solutions.names, self.solutions)
        choices = choices if refinement.useful else choices[:1]
        self._features = choices[0]
        pools = CandidatePools(self.solutions, self._features, self.encoding, PoolOptions(given.whole, given.samples))
        acquisition_options = AcquisitionOptions(
            cap=given.cap, rows=given.rows, kernel_rows=given.kernel_rows, refit_growth=given.refit_growth
        )
        self._acquisition = Acquisition(self.history, self.unseen, choices, pools, refinement, acquisition_options)

    def ask(self, n: int) -> Sequence[Assignment]:
        if self._queue and not self._asked and not len(self.history):
            self._queue.extend(self._beside(self._queue[0]))
        return super().ask(n)

    def _beside(self, default: Assignment) -> Assignments:
        """The rest of the initial design: it begins with the default, of which only the place matters."""
        self.unseen.mark([default])
        known = self._features.of(Assignments.of([default], self.solutions.names))
        return self._open(known, self._design.missing(self.history) - 1)

    def propose(self) -> Assignments:
        missing = self._design.missing(self.history)
        return self._open(self._features.of(self.history.assignments()), missing) if missing > 0 else self.follow()

    def _open(self, known: Array, n: int) -> Assignments:
        return self._design.choose(self.unseen, self._features, known, self.rng, n, self.cost_model)

    def follow(self) -> Assignments:
        """The next round after the initial design."""
        chosen = self._acquisition.choose(self.rng, self.options.round_size)
        return chosen if len(chosen) else self.unseen.draw(self.rng, self.options.round_size)


class GaussianProcessStrategy(BayesianStrategy[GaussianProcessSearchOptions]):
    """Expected improvement under a Gaussian process, over the whole set or the surroundings of the best."""

    source = "Jones et al., Efficient global optimization, 1998"
    options_type = GaussianProcessSearchOptions
