"""What a run on ranges of sizes cannot be told: its schedules are what several sizes promise, not a strategy's."""

from __future__ import annotations

from flextune.errors import UsageError
from flextune.tuning.tune_options import TuneOptions

_OF_ONE_WORKLOAD = {
    "strategy": "a strategy",
    "strategy_options": "options of a strategy",
    "cost_model": "a cost model",
    "cost_model_options": "options of a cost model",
    "pretrained": "a pretrained cost model",
}


def check_range_options(options: TuneOptions, subject: str) -> None:
    """UsageError that names all that was asked for and that only the search for one combination of sizes follows."""
    usual = TuneOptions(options.budget)
    given = [what for name, what in _OF_ONE_WORKLOAD.items() if getattr(options, name) != getattr(usual, name)]
    given += ["trials"] if options.budget.trials is not None else []
    given += ["patience"] if options.budget.patience_trials is not None else []
    if given:
        raise UsageError(
            f"{subject} has ranges of sizes: give minutes, and a seed if you like; what is for one combination of "
            f"sizes cannot be followed: {', '.join(given)}"
        )
