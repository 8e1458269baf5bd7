"""Leaderboard of search strategies, flextune's and others', on spaces whose every member has been measured.

    python -m benchmarks.search [--spaces PATH ...] [--strategies a,b,...] [--repeats N] [--budget N] [--noise M]
                                [--wall-clock] [--capped] [--jobs N] [--json FILE]

A column is the fraction of optimum (best possible time over the true time of the best found) after so many evaluations,
the mean over repeats, then over spaces, with its standard error over repeats. P is the score above random search: 0 for
random search, 1 for the optimum at once. An evaluation is the first measurement of a feasible configuration, also when
it fails; asking again is for nothing. With --wall-clock, a unit of the columns is the time that a mean evaluation of
the space took when it was recorded, each evaluation costs what it took (build and timing), and so does the time that a
strategy thinks itself: run that on a quiet machine, with one job.

Runs that are in the JSON file already, with the same settings, are not made again.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.files import write_json
from benchmarks.leaderboard.contestants import DEFAULT, GROUPS, PEERS, contestants
from benchmarks.leaderboard.ledger import Charge
from benchmarks.leaderboard.score import header, line, random_line
from benchmarks.leaderboard.space import OWN_SPACES, RecordedSpace, space_files, space_name
from benchmarks.leaderboard.tournament import PeerFailedError, Settings, content, play_all, read_scores
from flextune.errors import FlextuneError, UsageError


def run(options: argparse.Namespace) -> None:
    """Play, print and write."""
    if options.repeats < 1 or options.jobs < 1:
        raise UsageError(f"--repeats and --jobs must be at least 1, got {options.repeats} and {options.jobs}")
    settings = Settings(Charge(options.budget, options.wall_clock, options.noise), options.repeats, options.capped)
    if options.wall_clock and options.jobs > 1:
        print("--wall-clock charges thinking: with several jobs it takes longer than alone", file=sys.stderr)
    paths = space_files(options.spaces)
    chosen = contestants(options.strategies)
    playing = [each for each in chosen if each.installed]
    absent = {each.name: "not installed: pip install 'flextune[bench]'" for each in chosen if not each.installed}
    scores = read_scores(options.json, settings) if options.json else {}
    overall = [random_line([RecordedSpace.load(path) for path in paths], options.budget)]
    columns = header(options.budget, "seconds of so many evaluations" if options.wall_clock else "evaluations")
    print(columns)
    for name, space, score in play_all(playing, paths, settings, scores, options.jobs):
        if isinstance(score, PeerFailedError):
            absent[name] = str(score)
            continue
        scores.setdefault(name, {})[space] = score
        print(line(f"{name} {space}", [score]), flush=True)
        if options.json:
            write_json(options.json, content(settings, scores))
        if space == space_name(paths[-1]) and name not in absent:
            overall.append(line(f"{name} ALL", [scores[name][space_name(path)] for path in paths]))
    print(columns, *overall, sep="\n")
    for name, reason in absent.items():
        print(f"absent: {name}: {reason}")


def _arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.search", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--spaces", type=Path, nargs="+", default=[OWN_SPACES], metavar="PATH", help="folders or files (default: ours)"
    )
    parser.add_argument(
        "--strategies",
        type=_names,
        default=DEFAULT,
        metavar="NAMES",
        help=f"of flextune (with a cost model: cga+trees), {', '.join(PEERS)}; or the groups {', '.join(GROUPS)} "
        f"(default: {','.join(DEFAULT)})",
    )
    parser.add_argument("--repeats", type=int, default=20, help="runs per strategy and space (default: 20)")
    parser.add_argument("--budget", type=int, default=1600, help="evaluations per run (default: 1600)")
    parser.add_argument(
        "--noise", type=int, default=0, metavar="M", help="an evaluation is the mean of M repeats drawn"
    )
    parser.add_argument("--wall-clock", action="store_true", help="charge seconds in place of evaluations")
    parser.add_argument("--capped", action="store_true", help="a run of its own for every column")
    parser.add_argument("--jobs", type=int, default=1, help="processes (default: 1)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all scores; continue from them")
    return parser.parse_args(arguments)


def _names(text: str) -> tuple[str, ...]:
    return tuple(filter(None, (name.strip() for name in text.split(","))))


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
    except KeyboardInterrupt:
        print("interrupted; what was finished is in the JSON file, if one was named", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
