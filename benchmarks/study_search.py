"""The study that set what `auto` does: variants of it on recorded spaces, chosen on all kernels but one, checked on it.

    python -m benchmarks.study_search SPACES... [--repeats N] [--budget N] [--variants A,B,...] [--jobs N] [--json FILE]

SPACES are Kernel Tuner caches or T4 files named KERNEL_..., or folders of them; the same kernel on several devices is
several spaces. A variant differs from the defaults in one respect. Its score is the fraction of optimum, averaged over
25, 50, 100, ... evaluations, then repeats, then spaces; printed are the columns and the score, and per kernel what
would be chosen without it and how that does on it. A default stays unless a variant is better by more than chance on
every kernel: two kernels are few.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import numpy as np

from benchmarks.files import write_json
from benchmarks.leaderboard.contestants import Contestant
from benchmarks.leaderboard.ledger import Charge, Ledger
from benchmarks.leaderboard.score import Score, budgets_up_to, evaluate, summary
from benchmarks.leaderboard.space import RecordedSpace, space_files, space_name
from benchmarks.leaderboard.tournament import Scores, Settings, content, read_scores
from flextune.errors import FlextuneError, UsageError
from flextune.registry import nearest
from flextune.search.strategy_registry import create_strategy


@dataclass(frozen=True, slots=True)
class Variant:
    """A strategy with options as they are given on the command line, and what it is to find out."""

    question: str
    strategy: str = "auto"
    options: tuple[tuple[str, str], ...] = ()


def _auto(question: str, **options: float) -> Variant:
    return Variant(question, "auto", tuple((name, str(value)) for name, value in options.items()))


DEFAULT = "auto"
VARIANTS: Mapping[str, Variant] = {
    DEFAULT: Variant("the defaults"),
    "random": Variant("nothing learned", "random"),
    "local-search": Variant("local search alone", "local-search"),
    "gaussian-process": Variant("the Gaussian process alone", "gaussian-process"),
    "tree-surrogate": Variant("trees in place of the process", "tree-surrogate"),
    "start-5": _auto("a longer start", start=5),
    "start-10": _auto("a much longer start", start=10),
    "start-anywhere": _auto("a random start", start_candidates=1),
    "cap-0.3": _auto("less said about slow candidates", cap=0.3),
    "cap-0.8": _auto("more said about slow candidates", cap=0.8),
    "cap-1": _auto("all said about slow candidates", cap=1),
    "walk-0": _auto("no local search", walk_share=0),
    "walk-0.5": _auto("half local search", walk_share=0.5),
    "walk-from-25": _auto("local search early", walk_from=25),
    "refit-rarely": _auto("a model fitted anew half as often", refit_growth=0.2),
    "rows-250": _auto("a model of fewer measurements", rows=250),
    "kernel-rows-100": _auto("a kernel of fewer measurements", kernel_rows=100),
    "sampled": _auto("a pool of samples and surroundings in place of the whole set", whole=1000, samples=2000),
    "rounds-of-4": _auto("four at a time", round_size=4),
}


def play(space: RecordedSpace, ledger: Ledger, seed: int, variant: Variant) -> None:
    """One run, one candidate at a time."""
    tabular = space.tabular
    rng, options = np.random.default_rng(seed), dict(variant.options)
    player = create_strategy(variant.strategy, tabular.solutions, rng=rng, options=options, trials=ledger.charge.budget)
    while asked := player.ask(1):
        row = tabular.row_of[asked[0]]
        secs = ledger.measure(row)
        player.tell([tabular.measurement(row, None if secs is None else (secs,))])


def score_of(name: str, path: Path, budget: int, repeats: int) -> Score:
    """All repeats of a variant on a space, in whatever process this is."""
    contestant = Contestant(name, partial(play, variant=VARIANTS[name]))
    return evaluate(contestant, RecordedSpace.load(path), Charge(budget), range(repeats))


def kernel_of(space: str) -> str:
    return space.split("_")[0]


@dataclass(frozen=True)
class Results:
    """Scores by variant and space."""

    scores: Scores

    def line(self, name: str) -> str:
        means, errors = summary(list(self.scores[name].values()))
        columns = "".join(f"  {mean:.3f}±{error:.3f}" for mean, error in zip(means[:-1], errors[:-1], strict=True))
        total, error = self.total(name, tuple(self.scores[name]))
        return f"{name:18}{columns}  | {total:.4f}±{error:.4f}  {VARIANTS[name].question}"

    def total(self, name: str, spaces: Sequence[str]) -> tuple[float, float]:
        """The score over some spaces and its standard error over repeats."""
        runs = np.array([self.scores[name][space].fractions.mean(axis=1) for space in spaces])
        error = np.sqrt((runs.var(axis=1, ddof=1) / runs.shape[1]).sum()) / len(spaces) if runs.shape[1] > 1 else np.nan
        return float(runs.mean()), float(error)

    def without_one_kernel(self) -> Iterator[str]:
        """For each kernel: the variant that is best on the others, and how it does on this one."""
        spaces = tuple(self.scores[DEFAULT])
        for kernel in sorted({kernel_of(space) for space in spaces}):
            seen = [space for space in spaces if kernel_of(space) != kernel]
            unseen = [space for space in spaces if kernel_of(space) == kernel]
            if not seen:
                continue
            chosen = max(self.scores, key=lambda name: self.total(name, seen)[0])
            best = max(self.scores, key=lambda name: self.total(name, unseen)[0])
            parts = [f"{name} {self.total(name, unseen)[0]:.4f}" for name in (chosen, DEFAULT, best)]
            yield f"chosen without {kernel}: {parts[0]} on it; the default {parts[1]}; the best on it {parts[2]}"


def run(options: argparse.Namespace) -> None:
    if options.repeats < 1 or options.jobs < 1:
        raise UsageError(f"--repeats and --jobs must be at least 1, got {options.repeats} and {options.jobs}")
    for name in options.variants:
        if name not in VARIANTS:
            raise UsageError(f"unknown variant {name!r}: {nearest(name, tuple(VARIANTS))}")
    names = tuple(dict.fromkeys((DEFAULT, *options.variants)))
    paths = space_files(options.spaces)
    settings = Settings(Charge(options.budget), options.repeats, capped=False)
    known = read_scores(options.json, settings) if options.json else {}
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    print(f"{'':18}" + "".join(f"{column:>13}" for column in budgets_up_to(options.budget)) + "  | mean of the columns")
    scores: Scores = {}
    for name, found in _played(names, paths, settings, known, options.jobs):
        scores[name] = found
        print(Results(scores).line(name), flush=True)
        if options.json:
            write_json(options.json, content(settings, {**known, **scores}))
    print(*Results(scores).without_one_kernel(), sep="\n")


def _played(
    names: Sequence[str], paths: Sequence[Path], settings: Settings, known: Scores, jobs: int
) -> Iterator[tuple[str, dict[str, Score]]]:
    """The scores of each variant by space; those in `known` are taken from there."""
    budget, repeats = settings.charge.budget, settings.repeats
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as executor:
        games = {
            (name, space_name(path)): executor.submit(score_of, name, path, budget, repeats)
            for name in names
            for path in paths
            if space_name(path) not in known.get(name, {})
        }
        for name in names:
            spaces = [space_name(path) for path in paths]
            yield (
                name,
                {
                    space: games[name, space].result() if (name, space) in games else known[name][space]
                    for space in spaces
                },
            )


def _arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.study_search",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("spaces", type=Path, nargs="+", help="files of recorded spaces, or folders of them")
    parser.add_argument("--repeats", type=int, default=10, help="runs per variant and space (default: 10)")
    parser.add_argument("--budget", type=int, default=400, help="evaluations per run (default: 400)")
    parser.add_argument("--variants", type=lambda text: tuple(text.split(",")), default=tuple(VARIANTS), metavar="A,B")
    parser.add_argument("--jobs", type=int, default=1, help="processes (default: 1)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all scores; continue from them")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code: 0, 1 where something failed, 2 for bad usage."""
    try:
        run(_arguments(arguments))
    except UsageError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except FlextuneError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
