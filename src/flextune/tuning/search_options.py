"""How to search, as somebody says it: names and texts, checked before anything large is loaded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import SupportsIndex

from flextune.cost.cost_model_registry import check_cost_model
from flextune.errors import UsageError
from flextune.search.strategy_registry import check_strategy
from flextune.target.peaks import Peaks
from flextune.tuning.budget import Budget
from flextune.tuning.tune_options import TuneOptions


@dataclass(frozen=True, slots=True)
class SearchOptions:
    """How to search: names as `flextune strategies` lists them. UsageError for unknown names and options."""

    strategy: str = "auto"
    """What proposes candidates."""
    strategy_options: Mapping[str, str] | None = None
    """Its own options, as texts."""
    cost_model: str = "trees"
    """What predicts them."""
    cost_model_options: Mapping[str, str] | None = None
    """Its own options, as texts."""
    pretrained: str | Path | None = None
    """A file that `flextune pretrain` wrote."""
    seed: int = 0
    """Of everything random."""
    resume: bool = True
    """Whether recorded trials of the same key are taken for known."""

    def __post_init__(self) -> None:
        if not isinstance(self.seed, SupportsIndex) or self.seed < 0:
            raise UsageError(f"the seed must be a whole number and not negative, got {self.seed!r:.80}")
        for name in (self.strategy, self.cost_model):
            if not isinstance(name, str):
                raise UsageError(f"strategies and cost models are chosen by name, got {name!r:.80}")
        check_strategy(self.strategy, dict(self.strategy_options or {}))
        check_cost_model(self.cost_model, dict(self.cost_model_options or {}), self.pretrained is not None)

    def tune_options(self, budget: Budget, peaks: Peaks | None = None) -> TuneOptions:
        """With a budget, and the machine's peaks where they are known."""
        pretrained = None
        if self.pretrained is not None:
            from flextune.cost.pretrained_file import load_model  # with the library of its trees, which is large

            pretrained = load_model(Path(self.pretrained))
        return TuneOptions(
            budget,
            self.strategy,
            self.cost_model,
            self.seed,
            self.resume,
            peaks=peaks,
            strategy_options=tuple((self.strategy_options or {}).items()),
            cost_model_options=tuple((self.cost_model_options or {}).items()),
            pretrained=pretrained,
        )
