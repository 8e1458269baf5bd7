"""From runs to scores, and from scores to a table."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

import numpy as np

from benchmarks.leaderboard.baseline import Numbers, judged_counts, random_search, scores_above_random
from benchmarks.leaderboard.contestants import Contestant
from benchmarks.leaderboard.ledger import Charge, Curve, Finished, Ledger
from benchmarks.leaderboard.space import RecordedSpace
from benchmarks.leaderboard.stuck import ends_when_stuck

BUDGETS = (25, 50, 100, 200, 400, 800, 1600)

_LABEL_WIDTH = 58


@dataclass(frozen=True, slots=True)
class Score:
    """One strategy on one space: a row of `fractions` and a `p` per repeat.

    `fractions[r, b]` is the best possible time over the true time of the best found within budget b, 0 before the first
    success. `thinking_secs` is what the strategy itself took per evaluation, the median over repeats.
    """

    fractions: Numbers
    p: Numbers
    thinking_secs: float

    @property
    def table(self) -> Numbers:
        """The fractions and P, a row per repeat."""
        return np.column_stack([self.fractions, self.p])

    def to_json(self) -> dict[str, object]:
        return {"fractions": self.fractions.tolist(), "p": self.p.tolist(), "thinking_secs": self.thinking_secs}


def budgets_up_to(budget: int) -> tuple[int, ...]:
    """The columns of the table: the usual ones below the budget, and the budget."""
    return (*(each for each in BUDGETS if each < budget), budget)


def run_once(contestant: Contestant, space: RecordedSpace, charge: Charge, seed: int) -> tuple[Curve, float]:
    """The curve of one run, and the seconds of thinking per evaluation."""
    ledger = Ledger(space, charge, np.random.default_rng([seed, 1]))
    with suppress(Finished), ends_when_stuck(ledger):
        contestant.play(space, ledger, seed)
    return ledger.curve, ledger.thinking_secs / max(1, ledger.evaluations)


def evaluate(
    contestant: Contestant, space: RecordedSpace, charge: Charge, seeds: Sequence[int], capped: bool = False
) -> Score:
    """Runs with these seeds to the budget.

    `capped` makes a run per column, for strategies whose schedule depends on the budget; P is of the longest runs.
    """
    columns = np.array(budgets_up_to(charge.budget), dtype=np.float64)
    window = judged_counts(space.secs, charge.budget)
    found, judged, thinking = [], [], []
    for seed in seeds:
        curve, thinking_secs = run_once(contestant, space, charge, seed)
        row = curve.at(columns)
        for index, budget in enumerate(columns[:-1].astype(int).tolist()) if capped else ():
            shorter = Charge(budget, charge.by_seconds, charge.noise)
            row[index] = run_once(contestant, space, shorter, seed)[0].at(columns[index : index + 1])[0]
        found.append(row)
        judged.append(curve.at(window.astype(np.float64)))
        thinking.append(thinking_secs)
    fractions = np.nan_to_num(space.optimum_secs / np.array(found), nan=0.0)
    p = scores_above_random(space.secs, np.array(judged), window)
    return Score(fractions, p, float(np.median(thinking)))


def summary(scores: Sequence[Score]) -> tuple[Numbers, Numbers]:
    """Mean over repeats, then over spaces, of each column and P; and its standard error over repeats."""
    variances = [score.table.var(axis=0, ddof=1) / len(score.p) for score in scores if len(score.p) > 1]
    if len(variances) < len(scores):
        error = np.full(scores[0].table.shape[1], np.nan)
    else:
        error = np.sqrt(np.sum(variances, axis=0)) / len(scores)
    return np.mean([score.table.mean(axis=0) for score in scores], axis=0), error


def header(budget: int, unit: str) -> str:
    return f"{unit:{_LABEL_WIDTH}}" + "".join(f"{column:>13}" for column in (*budgets_up_to(budget), "P"))


def line(label: str, scores: Sequence[Score]) -> str:
    """A row of the table."""
    cells = "".join(f"  {mean:5.3f}±{error:.3f}" for mean, error in zip(*summary(scores), strict=True))
    return f"{label:{_LABEL_WIDTH}}" + cells


def random_line(spaces: Sequence[RecordedSpace], budget: int) -> str:
    """What random search without replacement is expected to reach: exact, without a run."""
    columns = np.array(budgets_up_to(budget))
    means = np.mean([random_search(space.secs, columns)[1] for space in spaces], axis=0)
    return f"{'random, expected':{_LABEL_WIDTH}}" + "".join(f"{mean:13.3f}" for mean in (*means, 0.0))
