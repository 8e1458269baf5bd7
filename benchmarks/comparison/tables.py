"""The tables of the page, as Markdown, from what the runs have written."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.comparison.bootstrap import Interval, Numbers, difference_interval, mean_interval
from benchmarks.comparison.live_tables import live_section, target_section
from benchmarks.comparison.markdown import markdown_table, signed
from benchmarks.comparison.outcome import Outcomes, read_outcomes
from benchmarks.comparison.replay import Charged, read_replay
from benchmarks.leaderboard.score import budgets_up_to, summary
from benchmarks.leaderboard.tournament import Scores, scores_in

OURS = "flexaction"
"""The strategy whose differences to the others are tested."""


@dataclass(frozen=True, slots=True)
class Replayed:
    """One tournament on recorded spaces."""

    charged: Charged
    budget: int
    seeds: int
    scores: Scores

    @property
    def budgets(self) -> tuple[int, ...]:
        return budgets_up_to(self.budget)

    def fractions(self, strategy: str, column: int) -> list[Numbers]:
        """Per space, the fraction of optimum of every seed."""
        return [score.fractions[:, column] for score in self.scores[strategy].values()]

    def interval(self, strategy: str, column: int) -> Interval:
        return mean_interval(self.fractions(strategy, column), np.random.default_rng(0))


@dataclass(frozen=True, slots=True)
class Sources:
    """What there is to show."""

    replayed: tuple[Replayed, ...]
    live: Outcomes | None
    target: Outcomes | None
    leaderboard: Mapping[str, object] = field(default_factory=dict)

    @classmethod
    def read(cls, replay: Path | None, live: Path | None, target: Path | None, leaderboard: Path | None) -> Sources:
        return cls(
            read_replayed(replay) if replay else (),
            read_outcomes(live) if live else None,
            read_outcomes(target) if target else None,
            json.loads(leaderboard.read_text()) if leaderboard else {},
        )


def read_replayed(path: Path) -> tuple[Replayed, ...]:
    contents = read_replay(path)
    found: list[Replayed] = []
    for charged in Charged:
        if isinstance(values := contents.get(charged), dict):
            settings = values["settings"]
            scores = scores_in(path, values)
            complete = max(len(spaces) for spaces in scores.values())
            finished = {name: spaces for name, spaces in scores.items() if len(spaces) == complete}
            found.append(Replayed(charged, settings["budget"], settings["repeats"], finished))
    return tuple(found)


def sections(sources: Sources) -> dict[str, str]:
    """Markdown by the name of its place in the page."""
    texts = {f"replay-{each.charged}": replay_section(each) for each in sources.replayed}
    if sources.live is not None and sources.live.runs:
        texts["live"] = live_section(sources.live, OURS)
    if sources.target is not None and sources.target.runs:
        texts["target"] = target_section(sources.target)
    if sources.leaderboard:
        texts["leaderboard"] = leaderboard_section(sources.leaderboard)
    return texts


def leaderboard_section(results: Mapping[str, Any]) -> str:
    """What `python -m benchmarks.search` has written, over the spaces that all strategies have played on."""
    settings = results["settings"]
    scores = scores_in(Path("leaderboard"), results)
    common = [space for space in next(iter(scores.values())) if all(space in found for found in scores.values())]
    unit = "mean evaluations' seconds" if settings["wall_clock"] else "evaluations"
    rows = []
    for name, found in scores.items():
        means, errors = summary([found[space] for space in common])
        rows.append([name, *(f"{mean:.3f} ± {error:.3f}" for mean, error in zip(means, errors, strict=True))])
    text = (
        f"Fraction of optimum after so many {unit}, mean over {', '.join(common)} and {settings['repeats']} repeats, "
        "with its standard error over repeats. P: 0 for random search, 1 for the optimum at once:"
    )
    return f"{text}\n\n{markdown_table(['strategy', *map(str, budgets_up_to(settings['budget'])), 'P'], rows)}"


def replay_section(replayed: Replayed) -> str:
    """Fractions of optimum, and the differences to `OURS`, each with its interval."""
    spaces = list(next(iter(replayed.scores.values())))
    unit = "trials" if replayed.charged is Charged.TRIALS else "times the seconds of a mean trial"
    return "\n\n".join(
        [
            f"Fraction of optimum after so many {unit}, mean over {', '.join(spaces)} and {replayed.seeds} seeds, "
            "with 95 % intervals:",
            _fractions_table(replayed),
            *(
                [f"{OURS} minus each other strategy; bold where the interval excludes 0:", _differences_table(replayed)]
                if OURS in replayed.scores
                else []
            ),
            f"By space, after {_middle(replayed)} {unit}:",
            _spaces_table(replayed, spaces),
        ]
    )


def _fractions_table(replayed: Replayed) -> str:
    head = ["strategy", *map(str, replayed.budgets), "thinking per trial"]
    rows = [
        [
            name,
            *(str(replayed.interval(name, column)) for column in range(len(replayed.budgets))),
            f"{np.mean([score.thinking_secs for score in spaces.values()]) * 1e3:.1f} ms",
        ]
        for name, spaces in replayed.scores.items()
    ]
    return markdown_table(head, rows)


def _differences_table(replayed: Replayed) -> str:
    head = ["strategy", *map(str, replayed.budgets)]
    rows = []
    for name in (name for name in replayed.scores if name != OURS):
        intervals = [
            difference_interval(
                replayed.fractions(OURS, column),
                replayed.fractions(name, column),
                np.random.default_rng(0),
                paired=False,
            )
            for column in range(len(replayed.budgets))
        ]
        rows.append([name, *map(signed, intervals)])
    return markdown_table(head, rows)


def _spaces_table(replayed: Replayed, spaces: Sequence[str]) -> str:
    column = replayed.budgets.index(_middle(replayed))
    rows = [
        [name, *(str(mean_interval([found[space].fractions[:, column]], np.random.default_rng(0))) for space in spaces)]
        for name, found in replayed.scores.items()
    ]
    return markdown_table(["strategy", *spaces], rows)


def _middle(replayed: Replayed) -> int:
    return replayed.budgets[len(replayed.budgets) // 2]
