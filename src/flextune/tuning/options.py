"""Everything a tuning run can be told, as one frozen value made at the edge (command line, API)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from flextune.errors import UsageError
from flextune.measure.options import MeasureOptions
from flextune.target.peaks import Peaks
from flextune.tuning.budget import Budget

if TYPE_CHECKING:
    from flextune.cost.pretrained import PretrainedModel


@dataclass(frozen=True, slots=True)
class TuneOptions:
    """How to search and measure.

    `round_trials` candidates are asked for and measured between two updates of the strategy; `resume` takes recorded
    trials of the same key for known instead of measuring them again; the `finalists` best candidates are compared with
    the default over `final_rounds` interleaved rounds before a winner is named. `peaks` of the machine, where known,
    give the fraction of peak and tell the scheduler how much a task can still gain. The cost model of every task starts
    from `pretrained`, which is of the run's target.
    """

    budget: Budget
    strategy: str = "auto"
    cost_model: str = "trees"
    seed: int = 0
    resume: bool = True
    round_trials: int = 16
    finalists: int = 4
    final_rounds: int = 12
    measure: MeasureOptions = field(default_factory=MeasureOptions)
    peaks: Peaks | None = None
    strategy_options: tuple[tuple[str, str], ...] = ()
    cost_model_options: tuple[tuple[str, str], ...] = ()
    pretrained: PretrainedModel | None = None

    def __post_init__(self) -> None:
        for name in ("round_trials", "finalists", "final_rounds"):
            if getattr(self, name) < 1:
                raise UsageError(f"{name} must be at least 1, got {getattr(self, name)}")
        if self.seed < 0:
            raise UsageError(f"the seed must not be negative, got {self.seed}")
