"""What a learned cost model must do."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from flextune.csp.assignment import Assignments

if TYPE_CHECKING:
    from flextune.trial.measurement import Measurement

Scores = npt.NDArray[np.float64]


class CostModel(ABC):
    """Learns from measurements of one task which assignments run fast.

    * Only the order of predictions means something: higher is better. As far as a model can say more, 1 is the best
      measured candidate, 0.5 one that takes twice its time, and 0 a failure.
    * Failed measurements are learned from, too: what failed is worth nothing.
    * A model that has seen nothing useful yet predicts the same value for all. It never raises for want of data.
    * The same measurements in the same order, and the same seed, give the same predictions.
    * Being told of an assignment again replaces what was known about it, so telling twice does no harm.

    A strategy that is given a model tells it all it is told itself; nobody else has to. Training may wait until the
    next prediction. `flextune.testing.cost_models.CostModelSuite` checks all of this for a model of your own.
    """

    @abstractmethod
    def predict(self, assignments: Assignments) -> Scores:
        """One finite score per assignment, higher is better. Shape (len(assignments),), also for none."""

    @abstractmethod
    def update(self, measurements: Sequence[Measurement]) -> None:
        """Take these measurements, in the order they were made, into account from the next prediction on."""

    @abstractmethod
    def importance(self) -> Mapping[str, float]:
        """How much each variable decides about the time: not negative, sums to 1; empty while nothing is known."""
