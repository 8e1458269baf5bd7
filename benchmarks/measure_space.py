"""Measure a part of a search space on this machine completely, and write it as a T4 file.

    python -m benchmarks.measure_space WORKLOAD --out FILE [--members N] [--fix NAME=VALUE ...] [--passes N]
                                       [--repeats N] [--limit N] [--db FILE]

WORKLOAD is gemm, conv2d or bmm, the project's own open data, or the text of a workload. The part is chosen by a rule
that knows no times: some variables are fixed, and the values of the others thinned out until few enough members are
left (`benchmarks.restriction`). Every member is visited in each of several passes through the space in random order; a
visit builds it, checks its output and times it. A survey that is stopped goes on where it was when it is started again.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.restriction import restricted, values_of
from benchmarks.survey import SurveyPlan, Visits, survey, tabulated
from flextune.csp.constraint import In
from flextune.database.space_files import save_table
from flextune.database.store import open_database
from flextune.database.table_entries import Json, table_of_space
from flextune.errors import FlextuneError, UsageError
from flextune.measure.local import local_runner
from flextune.platforms import platform_registry
from flextune.registry import nearest
from flextune.settings import cache_folder
from flextune.target.detect import detect
from flextune.target.doctor import doctor_report
from flextune.target.host import host
from flextune.trial.record import Provenance, installed_versions
from flextune.workload.parse import parse_workload

_PROGRESS_EVERY_SECS = 5.0


@dataclass(frozen=True, slots=True)
class OpenSpace:
    """A part of a workload's space: variables that are fixed, and how many members it may have."""

    workload: str
    members: int = 2000
    fixed: Mapping[str, int] = field(default_factory=dict)


OPEN_SPACES = {
    "gemm": OpenSpace("gemm:m=256,n=256,k=256", 2000, {"unroll": 1, "grid_order": 0}),
    "conv2d": OpenSpace(
        "conv2d:n=1,h=28,w=28,ci=32,co=32,kh=3,kw=3,pad=1,layout=nhwc",
        2400,
        {"unroll": 1, "grid_order": 0, "at_pad": 0},
    ),
    "bmm": OpenSpace("bmm:b=4,m=128,n=128,k=128", 2000, {"unroll": 1, "grid_order": 0}),
}
"""The project's own: kernels of 0.1 to 20 ms that use all cores."""


def plan_of(space: OpenSpace, passes: int, repeats: int) -> SurveyPlan:
    """The part of the space on this machine. `UsageError` for a variable that cannot be fixed so."""
    target = detect()
    whole = platform_registry.get(target.kind).search_space(parse_workload(space.workload), target)
    solutions = whole.solutions
    for name, value in space.fixed.items():
        if name not in solutions.names:
            raise UsageError(f"no variable {name!r} to fix: {nearest(name, solutions.names)}")
        if value not in solutions.marginal(name):
            raise UsageError(f"{name} cannot be {value}, only {', '.join(map(str, solutions.marginal(name)))}")
        solutions = solutions.restrict([In(name, (value,))])
    return SurveyPlan(whole, restricted(solutions, space.members), passes, repeats)


def description(plan: SurveyPlan, space: OpenSpace) -> dict[str, Json]:
    """What the file says about itself, and the machine."""
    facts = doctor_report(with_peaks=True).facts()
    machine: dict[str, object] = {name: facts[name] for name in ("target", "host", "peaks", "versions")}
    machine["load"] = list(os.getloadavg()) if hasattr(os, "getloadavg") else None
    about: dict[str, object] = {
        "workload": str(plan.space.workload),
        "trace": plan.space.trace.to_json(),
        "problem": str(plan.members.problem),
        "fixed": dict(space.fixed),
        "values": {name: list(values) for name, values in values_of(plan.members).items()},
        "members": plan.members.count,
        "of": plan.space.solutions.count,
        "passes": plan.passes,
        "protocol": str(plan.options),
        "machine": machine,
    }
    return about  # type: ignore[return-value]


def write(plan: SurveyPlan, space: OpenSpace, visits: Visits, path: Path) -> str:
    """The T4 file; returns what it holds in one line."""
    tabular = tabulated(str(plan.space.workload), host().cpu_name, plan.members, visits)
    table = dataclasses.replace(table_of_space(tabular), own={"survey": description(plan, space)})
    path.parent.mkdir(parents=True, exist_ok=True)
    save_table(table, path, "t4")
    good = sorted(trial.secs for trial in tabular.trials if trial.run_secs)
    if not good:
        return f"{path}: {len(tabular)} members, all failed"
    return (
        f"{path}: {len(tabular)} members, {len(tabular) - len(good)} failed, best {good[0] * 1e6:.1f} us, "
        f"median {good[len(good) // 2] * 1e6:.1f} us, worst {good[-1] * 1e6:.1f} us, {path.stat().st_size >> 10} KiB"
    )


class _Progress:
    """A line now and then: visits, rate and the time left."""

    def __init__(self) -> None:
        self._started = self._last = time.monotonic()
        self._before: int | None = None

    def __call__(self, made: int, planned: int) -> None:
        now = time.monotonic()
        if self._before is None:
            self._before, self._started = made, now
        if now - self._last < _PROGRESS_EVERY_SECS and made < planned:
            return
        self._last = now
        rate = (made - self._before) / max(1e-9, now - self._started)
        left = f", {(planned - made) / rate:.0f} s left" if rate > 0 else ""
        print(f"{made}/{planned} visits, {rate:.1f}/s{left}", file=sys.stderr, flush=True)


def run(options: argparse.Namespace) -> None:
    """Survey and write."""
    for name in ("members", "passes", "repeats", "limit"):
        value = getattr(options, name)
        if value is not None and value < 1:
            raise UsageError(f"--{name} must be at least 1, got {value}")
    space = OPEN_SPACES.get(options.workload) or OpenSpace(options.workload)
    space = OpenSpace(space.workload, options.members or space.members, {**space.fixed, **dict(options.fix)})
    if hasattr(os, "getloadavg") and os.getloadavg()[0] > 0.5:
        print(f"the machine is not idle (load {os.getloadavg()[0]:.1f}): times will be noisy", file=sys.stderr)
    plan = plan_of(space, options.passes, options.repeats)
    print(f"{plan.members.count} of {plan.space.solutions.count} members: {values_of(plan.members)}", file=sys.stderr)
    provenance = Provenance(str(plan.options), installed_versions(), plan.seed, "survey", host().fingerprint)
    database = options.db or cache_folder() / "surveys.db"
    with open_database(database) as records, local_runner(plan.options, plan.space.target) as runner:
        visits = survey(plan, runner, records, provenance, _Progress(), options.limit)
    print(write(plan, space, visits, options.out))


def _arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.measure_space",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("workload", metavar="WORKLOAD", help=f"{', '.join(OPEN_SPACES)}, or the text of a workload")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="the T4 file, .json or .json.gz")
    parser.add_argument("--members", type=int, help="at most so many (default: 2000, or what the name stands for)")
    parser.add_argument("--fix", type=_fixed, action="append", default=[], metavar="NAME=VALUE", help="a variable")
    parser.add_argument("--passes", type=int, default=3, help="through all members (default: 3)")
    parser.add_argument("--repeats", type=int, default=2, help="timed repeats at each visit (default: 2)")
    parser.add_argument("--limit", type=int, metavar="N", help="survey N members only, to try it out")
    parser.add_argument("--db", type=Path, metavar="FILE", help="records (default: surveys.db in flextune's cache)")
    return parser.parse_args(arguments)


def _fixed(text: str) -> tuple[str, int]:
    name, _, value = text.partition("=")
    try:
        return name, int(value)
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected NAME=VALUE with a whole number, got {text!r}") from None


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
        print("interrupted; the next run goes on from here", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
