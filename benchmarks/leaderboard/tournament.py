"""All contestants on all spaces, in worker processes; their scores as a file that a later run goes on from."""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from multiprocessing import get_context
from pathlib import Path

import numpy as np

from benchmarks.leaderboard.contestants import Contestant, contestant
from benchmarks.leaderboard.ledger import Charge
from benchmarks.leaderboard.score import Score, evaluate
from benchmarks.leaderboard.space import RecordedSpace, space_name
from flextune.errors import FlextuneError, UsageError

_THREAD_LIMITS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


@dataclass(frozen=True, slots=True)
class Settings:
    """What all runs have in common; runs with other settings are not comparable."""

    charge: Charge
    repeats: int
    capped: bool

    def to_json(self) -> dict[str, object]:
        return {
            "budget": self.charge.budget,
            "wall_clock": self.charge.by_seconds,
            "noise": self.charge.noise,
            "repeats": self.repeats,
            "capped": self.capped,
        }


Scores = dict[str, dict[str, Score]]
"""By contestant, then by space."""


class PeerFailedError(FlextuneError):
    """Another tuner ended with an error of its own."""


def play(name: str, path: Path, settings: Settings, seeds: Sequence[int]) -> Score:
    """Some repeats of one contestant on one space, in whatever process this is."""
    warnings.simplefilter("ignore")  # other tuners' own, about values that overflow
    player = contestant(name)
    try:
        return evaluate(player, loaded(path), settings.charge, seeds, settings.capped)
    except Exception as error:
        if not player.package:
            raise
        raise PeerFailedError(f"{name} on {space_name(path)}: {type(error).__name__}: {error}") from None


@lru_cache(maxsize=4)
def loaded(path: Path) -> RecordedSpace:
    return RecordedSpace.load(path)


def play_all(
    chosen: Sequence[Contestant], paths: Sequence[Path], settings: Settings, known: Scores, jobs: int
) -> Iterator[tuple[str, str, Score | PeerFailedError]]:
    """Contestant, space and score, contestant by contestant; those in `known` are taken from there."""
    games = [(each.name, path) for each in chosen for path in paths]
    with _executor(jobs) as executor:
        played = {
            (name, path): _parts(executor, name, path, settings, jobs)
            for name, path in games
            if space_name(path) not in known.get(name, {})
        }
        try:
            for name, path in games:
                space = space_name(path)
                parts = played.get((name, path), ())
                yield name, space, _outcome(parts) if parts else known[name][space]
        except BaseException:
            executor.shutdown(wait=False, cancel_futures=True)
            raise


def _parts(executor: Executor, name: str, path: Path, settings: Settings, jobs: int) -> list[Future[Score]]:
    """The repeats in as many parts as there are jobs."""
    seeds = np.array_split(np.arange(settings.repeats), min(jobs, settings.repeats))
    return [executor.submit(play, name, path, settings, part.tolist()) for part in seeds]


def _outcome(parts: Sequence[Future[Score]]) -> Score | PeerFailedError:
    try:
        return joined([part.result() for part in parts])
    except PeerFailedError as failure:
        return failure


def joined(parts: Sequence[Score]) -> Score:
    """The repeats of all parts as one score."""
    fractions = np.concatenate([part.fractions for part in parts])
    return Score(
        fractions,
        np.concatenate([part.p for part in parts]),
        float(np.median([part.thinking_secs for part in parts])),
    )


def _executor(jobs: int) -> Executor:
    """Fresh processes, each with one thread for its arithmetic."""
    for name in _THREAD_LIMITS:
        os.environ.setdefault(name, "1")
    return ProcessPoolExecutor(jobs, mp_context=get_context("spawn"))


def read_scores(path: Path, settings: Settings) -> Scores:
    """The scores in a file of an earlier run; none where there is no file. `UsageError` if its settings are others."""
    return scores_in(path, json.loads(path.read_text()), settings) if path.exists() else {}


def scores_in(path: Path, found: Mapping[str, object], settings: Settings | None = None) -> Scores:
    """The scores in what a file holds; `UsageError` naming it if they are of other settings than these."""
    if settings is not None and found.get("settings") != settings.to_json():
        raise UsageError(f"{path} holds runs with other settings, {found.get('settings')}; name another file")
    scores: dict[str, dict[str, dict[str, object]]] = found["scores"]  # type: ignore[assignment]
    return {name: {space: _score(values) for space, values in spaces.items()} for name, spaces in scores.items()}


def _score(values: Mapping[str, object]) -> Score:
    return Score(np.array(values["fractions"]), np.array(values["p"]), float(str(values["thinking_secs"])))


def content(settings: Settings, scores: Scores) -> dict[str, object]:
    """What goes into the JSON file."""
    return {
        "settings": settings.to_json(),
        "scores": {
            name: {space: score.to_json() for space, score in spaces.items()} for name, spaces in scores.items()
        },
    }
