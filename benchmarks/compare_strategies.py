"""FlexAction's idea beside CGA, its random-key variant, FlexTensor's two methods, random-feasible and auto.

    python -m benchmarks.compare_strategies replay --json FILE [--spaces PATH ...] [--strategies a,b] [--seeds N]
                                                   [--budget N] [--charge trials|seconds|both] [--jobs N]
    python -m benchmarks.compare_strategies live   --json FILE [--workloads NAMES] [--strategies a,b] [--seeds N]
                                                   [--trials N]
    python -m benchmarks.compare_strategies target --json FILE [--seeds N] [--trials N] [--random-trials N]
    python -m benchmarks.compare_strategies report [--replay FILE] [--live FILE] [--target FILE] [--leaderboard FILE]
                                                   [--document FILE]

`replay` plays on recorded spaces, with equal trials and with equal seconds (what each trial took when it was recorded,
and what the strategy thinks itself). `live` tunes on this machine; `target` counts the trials that auto and
random-feasible need to come within 95 % of the best ever seen. Each goes on where it was when it is started again.
`report` prints the tables, or writes them, with plots, into the page.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from benchmarks.comparison.document import update_document
from benchmarks.comparison.live import LiveComparison, LivePlan
from benchmarks.comparison.outcome import append_lines, read_outcomes
from benchmarks.comparison.replay import Charged, play_replay
from benchmarks.comparison.tables import Sources, sections
from benchmarks.kernel_cases import SUITES
from benchmarks.leaderboard.contestants import contestant
from benchmarks.leaderboard.space import OWN_SPACES
from flextune.errors import FlextuneError, UsageError
from flextune.measure.local import local_runner
from flextune.measure.measure_options import MeasureOptions
from flextune.registry import nearest
from flextune.target.detect import detect
from flextune.target.host import host
from flextune.trial.record import installed_versions

COMPARED = ("auto", "flexaction", "cga+trees", "cga-random-keys+trees", "flextensor-p", "flextensor-q", "random")
"""CGA and its variant with the learned cost model that is part of them; the others learn by themselves, or not."""

LIVE_CASES = ("gemm-512", "conv2d-56x56x64", "bmm")
TARGET_CASES = ("gemm-512", "conv2d-56x56x64", "conv2d-14x14x256")


def replay(options: argparse.Namespace) -> None:
    """Both tournaments."""
    for name in options.strategies:
        contestant(name)
    charges = (Charged.TRIALS, Charged.SECONDS) if options.charge == "both" else (Charged(options.charge),)
    for charged in charges:
        play_replay(
            options.json, charged, options.strategies, options.spaces, options.budget, options.seeds, options.jobs
        )


def live(options: argparse.Namespace) -> None:
    """Every strategy on every workload with every seed."""
    trials = dict.fromkeys(options.strategies, options.trials)
    play_live(options.json, LivePlan(_workloads(options.workloads), trials, options.seeds))


def target(options: argparse.Namespace) -> None:
    """auto and random-feasible, until both should be there."""
    trials = {"auto": options.trials, "random": options.random_trials or 3 * options.trials}
    play_live(options.json, LivePlan(_workloads(options.workloads), trials, options.seeds))


def play_live(path: Path, plan: LivePlan) -> None:
    """All runs of a plan that the file does not hold yet. `UsageError` if it holds those of another one."""
    for name in plan.trials:
        contestant(name)
    if min(plan.seeds, *plan.trials.values()) < 1:
        raise UsageError("seeds and trials must be at least 1")
    known = read_outcomes(path)
    planned = {"workloads": list(plan.workloads), "trials": dict(plan.trials), "seeds": plan.seeds}
    if known.about and known.about.get("plan") != planned:
        raise UsageError(f"{path} holds another comparison, {known.about.get('plan')}; name another file")
    measuring = MeasureOptions()
    if not known.about:
        append_lines(path, [json.dumps({"about": {"plan": planned, **_machine(), "protocol": str(measuring)}})])
    _warn_if_busy()
    machine = detect()
    with local_runner(measuring, machine) as runner:
        for line in LiveComparison(plan, runner, machine, _say).play(known):
            append_lines(path, [line])


def report(options: argparse.Namespace) -> None:
    """Tables on stdout, or tables and plots into the page."""
    sources = Sources.read(options.replay, options.live, options.target, options.leaderboard)
    texts = sections(sources)
    if options.document is None:
        print("\n\n".join(texts.values()))
    else:
        update_document(options.document, texts, sources)


def _machine() -> dict[str, object]:
    return {
        "target": str(detect()),
        "cpu": host().cpu_name,
        "versions": installed_versions(),
        "load": list(os.getloadavg()) if hasattr(os, "getloadavg") else None,
    }


def _workloads(names: Sequence[str]) -> tuple[str, ...]:
    """Texts of named cases; a text is one itself."""
    known = {case.name: case.workload for cases in SUITES.values() for case in cases}
    for name in names:
        if ":" not in name and name not in known:
            raise UsageError(f"unknown case {name!r}: {nearest(name, tuple(known))}")
    return tuple(known.get(name, name) for name in names)


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _warn_if_busy() -> None:
    if hasattr(os, "getloadavg") and os.getloadavg()[0] > 0.5:
        _say(f"the machine is not idle (load {os.getloadavg()[0]:.1f}): times will be noisy")


def _names(text: str) -> tuple[str, ...]:
    return tuple(filter(None, (name.strip() for name in text.split(","))))


def _cases(text: str) -> tuple[str, ...]:
    """Names and texts of workloads; these have commas themselves."""
    return tuple(text.split()) if ":" in text else _names(text)


def _arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.compare_strategies",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parts = parser.add_subparsers(required=True, metavar="replay|live|target|report")
    played = _part(parts, replay, seeds=20)
    played.add_argument("--spaces", type=Path, nargs="+", default=[OWN_SPACES], metavar="PATH", help="default: ours")
    played.add_argument("--budget", type=int, default=400, help="trials, or their mean seconds (default: 400)")
    played.add_argument("--charge", choices=("trials", "seconds", "both"), default="both")
    played.add_argument("--jobs", type=int, default=1, help="processes; 1 where seconds count (default: 1)")
    tuned = _part(parts, live, seeds=10)
    tuned.add_argument("--trials", type=int, default=64, help="of every run (default: 64)")
    aimed = _part(parts, target, seeds=10)
    aimed.add_argument("--trials", type=int, default=96, help="of auto (default: 96)")
    aimed.add_argument("--random-trials", type=int, help="of random-feasible (default: three times as many)")
    for part, cases in ((tuned, LIVE_CASES), (aimed, TARGET_CASES)):
        part.add_argument("--workloads", type=_cases, default=cases, help=f"default: {','.join(cases)}")
    for part in (played, tuned):
        part.add_argument("--strategies", type=_names, default=COMPARED, metavar="NAMES", help="a,b+trees,...")
    told = parts.add_parser("report", help=report.__doc__)
    told.set_defaults(run=report)
    for name in ("replay", "live", "target"):
        told.add_argument(f"--{name}", type=Path, metavar="FILE", help=f"what `{name}` has written")
    told.add_argument("--leaderboard", type=Path, metavar="FILE", help="what `python -m benchmarks.search` has written")
    told.add_argument("--document", type=Path, metavar="FILE", help="the page, docs/search.md")
    return parser.parse_args(arguments)


def _part(parts: Any, run: Callable[[argparse.Namespace], None], seeds: int) -> argparse.ArgumentParser:
    """A command that makes runs."""
    part: argparse.ArgumentParser = parts.add_parser(run.__name__, help=run.__doc__)
    part.set_defaults(run=run)
    part.add_argument("--json", type=Path, required=True, metavar="FILE", help="the results; continue from them")
    part.add_argument("--seeds", type=int, default=seeds, help=f"runs of each strategy (default: {seeds})")
    return part


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code: 0, 1 where something failed, 2 for bad usage."""
    options = _arguments(arguments)
    try:
        options.run(options)
    except UsageError as error:
        _say(f"error: {error}")
        return 2
    except FlextuneError as error:
        _say(f"error: {error}")
        return 1
    except KeyboardInterrupt:
        _say("interrupted; the next run goes on from here")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
