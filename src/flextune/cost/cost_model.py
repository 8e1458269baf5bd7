"""What a learned cost model must do."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import numpy.typing as npt

from flextune.cost.cost_model_options import CostModelOptions
from flextune.csp.assignment import Assignments

if TYPE_CHECKING:
    from flextune.cost.pretrained import PretrainedModel
    from flextune.cost.task_description import TaskDescription
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

    `names` are the task's variables, `options` is of the class's `options_type`. `task` describes what the variables
    belong to, where that is known; `pretrained` was learned from other tasks, and a model that can start from it does.
    The first line of a class's docstring says what it is; it is listed to users.
    """

    options_type: ClassVar[type[CostModelOptions]] = CostModelOptions

    @abstractmethod
    def __init__(
        self,
        names: Sequence[str],
        seed: int,
        *,
        options: CostModelOptions | None = None,
        task: TaskDescription | None = None,
        pretrained: PretrainedModel | None = None,
    ) -> None: ...

    @abstractmethod
    def predict(self, assignments: Assignments) -> Scores:
        """One finite score per assignment, higher is better. Shape (len(assignments),), also for none."""

    @abstractmethod
    def update(self, measurements: Sequence[Measurement]) -> None:
        """Take these measurements, in the order they were made, into account from the next prediction on."""

    @abstractmethod
    def importance(self) -> Mapping[str, float]:
        """How much each variable decides about the time: not negative, sums to 1; empty while nothing is known."""
