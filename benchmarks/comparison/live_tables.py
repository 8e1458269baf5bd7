"""Tables of runs on a machine."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.comparison.bootstrap import (
    Interval,
    Numbers,
    difference_interval,
    mean_interval,
    median_interval,
)
from benchmarks.comparison.markdown import markdown_table, signed
from benchmarks.comparison.outcome import LiveRun, Outcomes

CLOSE = 0.95
"""The fraction of the best ever seen that counts as reached."""

Value = Callable[[LiveRun], float]


@dataclass(frozen=True, slots=True)
class LiveScores:
    """Fractions of the best, by strategy: per workload, an array with a value per seed."""

    outcomes: Outcomes

    def fractions(self, strategy: str, secs: Value) -> list[Numbers]:
        """The best time of any trial of the workload over the time that `secs` says of each run; 0 for none."""
        return [
            np.array([self.outcomes.best_ever(workload) / secs(run) for run in self.outcomes.of(workload, strategy)])
            for workload in self.outcomes.workloads
        ]

    def judged(self, strategy: str) -> list[Numbers]:
        """The best winner's time over this strategy's, timed in turns after each seed's runs."""
        return [
            np.array(
                [
                    min(each.secs.values()) / each.secs[strategy] if strategy in each.secs else 0.0
                    for each in sorted(self.outcomes.judgements, key=lambda judgement: judgement.seed)
                    if each.workload == workload
                ]
            )
            for workload in self.outcomes.workloads
        ]

    def equal_secs(self, workload: str) -> float:
        """The time that the quickest strategy's median run took: all others have that long, too."""
        return min(
            statistics.median(run.ended_secs[-1] for run in self.outcomes.of(workload, strategy))
            for strategy in self.outcomes.strategies
        )

    def within_equal_secs(self, strategy: str) -> list[Numbers]:
        limits = {workload: self.equal_secs(workload) for workload in self.outcomes.workloads}
        return self.fractions(strategy, lambda run: run.best_within(limits[run.workload]))


def finished(outcomes: Outcomes) -> Outcomes:
    """Only the workloads and seeds that every strategy has run."""
    strategies = outcomes.strategies
    have = {run.key for run in outcomes.runs}
    runs = tuple(
        run for run in outcomes.runs if all((run.workload, strategy, run.seed) in have for strategy in strategies)
    )
    kept = {(run.workload, run.seed) for run in runs}
    return Outcomes(outcomes.about, runs, tuple(each for each in outcomes.judgements if each.key in kept))


def live_section(outcomes: Outcomes, ours: str) -> str:
    """Equal trials, equal seconds, the winners side by side, and the differences to one strategy."""
    outcomes = finished(outcomes)
    scores = LiveScores(outcomes)
    seeds = len({run.seed for run in outcomes.runs})
    trials = max(len(run.trial_secs) for run in outcomes.runs)
    columns = [each for each in (8, 16, 32) if each < trials] + [trials]
    parts = [
        f"Best ever seen over best so far after so many trials, and after equal seconds "
        f"({_limits(scores)}), mean over the workloads and {seeds} seeds with 95 % intervals. *Winners*: the best "
        "winner of a seed over the strategy's own, timed in turns. *Without default*: the default schedule, which is "
        "the first trial of every run, left out:",
        markdown_table(
            [
                "strategy",
                *(f"{column} trials" for column in columns),
                "without default",
                "equal seconds",
                "winners",
                "seconds of a run",
            ],
            [_live_row(scores, strategy, columns) for strategy in outcomes.strategies],
        ),
    ]
    if ours in outcomes.strategies:
        parts += [
            f"{ours} minus each other strategy, seed by seed; bold where the interval excludes 0:",
            markdown_table(
                ["strategy", f"{trials} trials", "equal seconds", "winners"],
                [_difference_row(scores, ours, other, trials) for other in outcomes.strategies if other != ours],
            ),
        ]
    parts += [
        "Winners by workload:",
        markdown_table(
            ["strategy", *outcomes.workloads],
            [[strategy, *(str(_mean([each])) for each in scores.judged(strategy))] for strategy in outcomes.strategies],
        ),
    ]
    return "\n\n".join(parts)


def _live_row(scores: LiveScores, strategy: str, columns: Sequence[int]) -> list[str]:
    runs = [run for run in scores.outcomes.runs if run.strategy == strategy]
    return [
        strategy,
        *(str(_mean(scores.fractions(strategy, _after(column)))) for column in columns),
        str(_mean(scores.fractions(strategy, lambda run: run.best_after(columns[-1], with_default=False)))),
        str(_mean(scores.within_equal_secs(strategy))),
        str(_mean(scores.judged(strategy))),
        f"{statistics.median(run.ended_secs[-1] for run in runs):.1f}",
    ]


def _difference_row(scores: LiveScores, ours: str, other: str, trials: int) -> list[str]:
    pairs = [
        (scores.fractions(ours, _after(trials)), scores.fractions(other, _after(trials))),
        (scores.within_equal_secs(ours), scores.within_equal_secs(other)),
        (scores.judged(ours), scores.judged(other)),
    ]
    rng = np.random.default_rng(0)
    return [other, *(signed(difference_interval(first, second, rng, paired=True)) for first, second in pairs)]


def _after(trials: int) -> Value:
    return lambda run: run.best_after(trials)


def _mean(groups: Sequence[Numbers]) -> Interval:
    return mean_interval(groups, np.random.default_rng(0))


def _limits(scores: LiveScores) -> str:
    return ", ".join(f"{scores.equal_secs(each):.1f} s on {_short(each)}" for each in scores.outcomes.workloads)


def _short(workload: str) -> str:
    return workload.partition(":")[0]


COUNTS: tuple[tuple[str, frozenset[str]], ...] = (
    ("random-feasible alone", frozenset({"auto"})),
    ("all trials", frozenset({"auto", "random"})),
    ("from the second on", frozenset()),
)
"""What is counted, and the strategies whose first trial, the default schedule, counts."""


def target_section(outcomes: Outcomes) -> str:
    """Trials to come within 95 % of the best ever seen: medians, how often, and the ratio of the two strategies."""
    outcomes = finished(outcomes)
    head = ["workload", "counting", "best ever", *_reach_columns(outcomes), "ratio"]
    rows = [
        _target_row(outcomes, workload, label, default_counts)
        for workload in outcomes.workloads
        for label, default_counts in COUNTS
    ]
    seeds = len({run.seed for run in outcomes.runs})
    return "\n\n".join(
        [
            f"Trials until a time is at least {CLOSE:.0%} of the best ever seen, median of {seeds} seeds with its 95 % "
            "interval, and how many of the runs came there. Every run begins with the default schedule. "
            "*Random-feasible alone*: `auto` as it comes, and of `random` only what it drew, since random-feasible "
            "search knows no default. *All trials*: both begin with the default. *From the second on*: neither does:",
            markdown_table(head, rows),
        ]
    )


def _reach_columns(outcomes: Outcomes) -> list[str]:
    limits = {run.strategy: len(run.trial_secs) for run in outcomes.runs}
    return [f"{strategy} (of {limits[strategy]})" for strategy in outcomes.strategies]


def reach(outcomes: Outcomes, workload: str, strategy: str, *, with_default: bool) -> Numbers:
    """Trials to come close enough, by seed; infinity where a run did not."""
    limit = outcomes.best_ever(workload) / CLOSE
    return np.array([run.trials_to(limit, with_default=with_default) for run in outcomes.of(workload, strategy)])


def _target_row(outcomes: Outcomes, workload: str, label: str, default_counts: frozenset[str]) -> list[str]:
    reached = {
        each: reach(outcomes, workload, each, with_default=each in default_counts) for each in outcomes.strategies
    }
    medians = {each: median_interval(values, np.random.default_rng(0)) for each, values in reached.items()}
    return [
        workload,
        label,
        f"{outcomes.best_ever(workload) * 1e6:.1f} us",
        *(_reached(medians[each], values) for each, values in reached.items()),
        _ratio(medians["auto"].mean, medians["random"].mean, outcomes) if {"auto", "random"} <= set(medians) else "",
    ]


def _reached(median: Interval, values: Numbers) -> str:
    interval = f"[{_count(median.low)}, {_count(median.high)}]"
    return f"{_count(median.mean)} {interval}, {np.isfinite(values).sum()}/{len(values)}"


def _count(trials: float) -> str:
    return f"{trials:g}" if np.isfinite(trials) else "not reached"


def _ratio(auto: float, random: float, outcomes: Outcomes) -> str:
    """The first over the second; an upper bound where random-feasible did not come there in all its trials."""
    if not np.isfinite(auto):
        return "-"
    most = max(len(run.trial_secs) for run in outcomes.runs if run.strategy == "random")
    return f"{auto / random:.2f}" if np.isfinite(random) else f"< {auto / most:.2f}"
