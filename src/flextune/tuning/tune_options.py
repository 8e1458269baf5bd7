"""Everything a tuning run can be told, as one frozen value made at the edge (command line, API)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from flextune.errors import UsageError
from flextune.measure.measure_options import MeasureOptions
from flextune.target.peaks import Peaks
from flextune.tuning.budget import Budget

if TYPE_CHECKING:
    from flextune.cost.pretrained import PretrainedModel


@dataclass(frozen=True, slots=True)
class TuneOptions:
    """How to search and measure."""

    budget: Budget
    """Trials or minutes."""
    strategy: str = "auto"
    """What proposes candidates, by name."""
    cost_model: str = "trees"
    """What predicts them, by name."""
    seed: int = 0
    """Of everything random."""
    resume: bool = True
    """Whether recorded trials of the same key are taken for known, instead of measuring them again."""
    round_trials: int = 16
    """Candidates that are asked for and measured between two updates of the strategy."""
    finalists: int = 4
    """The best candidates that are compared with the default before a winner is named."""
    final_rounds: int = 12
    """Interleaved rounds of that comparison."""
    measure: MeasureOptions = field(default_factory=MeasureOptions)
    """Limits and timing of each trial."""
    peaks: Peaks | None = None
    """Of the machine, where known: they give the fraction of peak, and what a task can still gain."""
    strategy_options: tuple[tuple[str, str], ...] = ()
    """Names and values, as texts."""
    cost_model_options: tuple[tuple[str, str], ...] = ()
    """Names and values, as texts."""
    pretrained: PretrainedModel | None = None
    """What the cost model of every task starts from; it is of the run's target."""

    def __post_init__(self) -> None:
        for name in ("round_trials", "finalists", "final_rounds"):
            if getattr(self, name) < 1:
                raise UsageError(f"{name} must be at least 1, got {getattr(self, name)}")
        if self.seed < 0:
            raise UsageError(f"the seed must not be negative, got {self.seed}")
