"""The plots of the page, as SVG files that come out the same from the same results."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.comparison.bootstrap import Interval, mean_interval
from benchmarks.comparison.live_tables import LiveScores, finished
from benchmarks.comparison.outcome import Outcomes
from benchmarks.comparison.tables import Replayed

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#777777", "#000000")
"""Told apart by people who do not see all colours (Okabe and Ito)."""

_WIDTH_INCHES, _HEIGHT_INCHES = 5.2, 4.0


def plot_replayed(tournaments: Sequence[Replayed], path: Path) -> None:
    """Fraction of optimum over what was spent, a panel per kind of charge."""
    figure, axes = _panels(len(tournaments))
    for axis, replayed in zip(axes, tournaments, strict=True):
        for colour, name in zip(COLOURS, replayed.scores, strict=False):
            intervals = [replayed.interval(name, column) for column in range(len(replayed.budgets))]
            _band(axis, replayed.budgets, intervals, name, colour)
        axis.set_xscale("log", base=2)
        axis.set_xticks(replayed.budgets, map(str, replayed.budgets))
        axis.set_title(f"equal {replayed.charged}")
        axis.set_xlabel("trials" if replayed.charged == "trials" else "seconds, in mean trials")
    axes[0].set_ylabel("fraction of optimum")
    _save(figure, axes, path)


def plot_live(outcomes: Outcomes, path: Path) -> None:
    """Best ever seen over best so far, a panel per workload."""
    outcomes = finished(outcomes)
    figure, axes = _panels(len(outcomes.workloads))
    for index, (axis, workload) in enumerate(zip(axes, outcomes.workloads, strict=True)):
        trials = min(len(run.trial_secs) for run in outcomes.runs if run.workload == workload)
        counts = sorted({round(count) for count in np.geomspace(1, trials, 16)})
        for colour, strategy in zip(COLOURS, outcomes.strategies, strict=False):
            intervals = [_interval(outcomes, strategy, index, count) for count in counts]
            _band(axis, counts, intervals, strategy, colour)
        axis.set_title(workload, fontsize=7)
        axis.set_xlabel("trials")
    axes[0].set_ylabel("best ever seen / best so far")
    _save(figure, axes, path)


def _interval(outcomes: Outcomes, strategy: str, workload: int, trials: int) -> Interval:
    fractions = LiveScores(outcomes).fractions(strategy, lambda run: run.best_after(trials))
    return mean_interval([fractions[workload]], np.random.default_rng(0))


def _panels(count: int) -> tuple[Any, list[Any]]:
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams["svg.hashsalt"] = "flextune"
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(
        1, count, figsize=(_WIDTH_INCHES * count, _HEIGHT_INCHES), sharey=True, squeeze=False, layout="constrained"
    )
    return figure, list(axes[0])


def _band(axis: Any, x: Sequence[int], intervals: Sequence[Interval], label: str, colour: str) -> None:
    axis.plot(x, [each.mean for each in intervals], label=label, color=colour, linewidth=1.5)
    axis.fill_between(
        x, [each.low for each in intervals], [each.high for each in intervals], color=colour, alpha=0.15, linewidth=0
    )


def _save(figure: Any, axes: Sequence[Any], path: Path) -> None:
    import matplotlib.pyplot as plt

    for axis in axes:
        axis.grid(alpha=0.3)
    axes[-1].legend(fontsize=8, loc="lower right")
    figure.savefig(path, metadata={"Date": None, "Creator": None})
    plt.close(figure)
