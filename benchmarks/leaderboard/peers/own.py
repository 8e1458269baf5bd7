"""flextune's own strategies: asked for one configuration at a time, told before they are asked again."""

from __future__ import annotations

import numpy as np

from benchmarks.leaderboard.ledger import Ledger
from benchmarks.leaderboard.space import RecordedSpace
from flextune.cost.cost_model_registry import create_cost_model
from flextune.search.strategy_registry import create_strategy


def play(space: RecordedSpace, ledger: Ledger, seed: int, strategy: str, cost_model: str = "none") -> None:
    """Until the space is used up or the ledger is spent. The strategy is told how much it may evaluate."""
    tabular = space.tabular
    model = create_cost_model(cost_model, tabular.solutions.names, seed)
    player = create_strategy(
        strategy, tabular.solutions, rng=np.random.default_rng(seed), cost_model=model, trials=ledger.charge.budget
    )
    while asked := player.ask(1):
        row = tabular.row_of[asked[0]]
        secs = ledger.measure(row)
        player.tell([tabular.measurement(row, None if secs is None else (secs,))])
