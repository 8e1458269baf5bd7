"""Runs on recorded spaces, charged by trials or by seconds; both kinds in one file."""

from __future__ import annotations

import json
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path

from benchmarks.files import write_json
from benchmarks.leaderboard.contestants import contestants
from benchmarks.leaderboard.ledger import Charge
from benchmarks.leaderboard.score import header, line
from benchmarks.leaderboard.space import space_files
from benchmarks.leaderboard.tournament import PeerFailedError, Scores, Settings, content, play_all, scores_in
from flextune.errors import UsageError


class Charged(StrEnum):
    """What is equal for all strategies: how many trials they make, or how many seconds they take."""

    TRIALS = "trials"
    SECONDS = "seconds"


def play_replay(
    path: Path,
    charged: Charged,
    strategies: Sequence[str],
    spaces: Sequence[Path],
    budget: int,
    seeds: int,
    jobs: int,
) -> None:
    """One tournament; what the file holds of it already is not played again."""
    settings = Settings(Charge(budget, by_seconds=charged is Charged.SECONDS), seeds, capped=False)
    contents = read_replay(path)
    scores = known_scores(path, contents, charged, settings)
    print(header(budget, f"equal {charged}"))
    for name, space, score in play_all(contestants(strategies), space_files(spaces), settings, scores, jobs):
        if isinstance(score, PeerFailedError):
            raise score
        scores.setdefault(name, {})[space] = score
        print(line(f"{name} {space}", [score]), flush=True)
        contents[charged] = content(settings, scores)
        write_json(path, contents)


def read_replay(path: Path) -> dict[str, object]:
    """The tournaments in a file, none where there is no file."""
    if not path.exists():
        return {}
    contents = json.loads(path.read_text())
    if not isinstance(contents, dict) or not set(contents) <= set(Charged):
        raise UsageError(f"{path} holds no comparison on recorded spaces")
    return contents


def known_scores(path: Path, contents: dict[str, object], charged: Charged, settings: Settings) -> Scores:
    found = contents.get(charged)
    return scores_in(path, found, settings) if isinstance(found, dict) else {}
