"""Programs on devices that are not this machine: their costs by emulators, simulators and models, never by time here.

    python -m benchmarks.platforms [--only NAME]... [--json FILE]

Each file beside this one that has a function `cases` is one family of platforms. A family whose tools are not installed
is left out with what to install. Exits with 1 where a program computed something else than its reference.
"""

from __future__ import annotations

import argparse
import json
import math
import pkgutil
from collections.abc import Iterator, Sequence
from importlib import import_module
from pathlib import Path
from typing import cast

import benchmarks.platforms
from benchmarks.platforms.case import Cases, PlatformCase
from flextune.cli.output import table
from flextune.errors import EnvironmentFault


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.platforms", description=__doc__)
    families = family_names()
    parser.add_argument("--only", action="append", choices=families, help="this family (default: all of them)")
    parser.add_argument("--json", type=Path, help="write the cases to this file")
    given = parser.parse_args(arguments)
    cases: list[PlatformCase] = []
    missing: dict[str, str] = {}
    for name in given.only or families:
        try:
            cases += reported(cases_of(name))
        except EnvironmentFault as fault:
            missing[name] = str(fault)
            print(f"left out: {name}: {fault}", flush=True)
    print(case_table(cases))
    if given.json:
        found = {"cases": [case.to_dict() for case in cases], "missing": missing}
        given.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    return int(not all(case.correct for case in cases))


def family_names() -> tuple[str, ...]:
    """The files of this folder that are families of platforms."""
    others = ("__main__", "case", "emulated", "tuned")
    return tuple(each.name for each in pkgutil.iter_modules(benchmarks.platforms.__path__) if each.name not in others)


def cases_of(name: str) -> Cases:
    """The function of one family that runs its cases."""
    return cast("Cases", import_module(f"benchmarks.platforms.{name}").cases)


def reported(run: Cases) -> Iterator[PlatformCase]:
    """The cases of a family, each printed as soon as it is there."""
    for case in run():
        print(f"{case.platform}  {case.case}  {case.cost:.6g} {case.unit}, {case.origin}", flush=True)
        yield case


def case_table(cases: Sequence[PlatformCase]) -> str:
    """All cases, and the geometric means of each platform, for people."""
    rows = [
        (each.platform, each.case, _verdict(each), f"{each.cost:.6g}", f"{each.unit}, {each.origin}", *_ratios([each]))
        for each in cases
    ]
    groups: dict[tuple[str, str], list[PlatformCase]] = {}
    for case in cases:
        groups.setdefault((case.platform, case.counted), []).append(case)
    for (platform, counted), own in groups.items():
        what = f"geometric mean of {len(own)}" + (f": {counted}" if counted else "")
        rows.append((platform, what, "", "", "", *_ratios(own)))
    return table(("platform", "case", "outputs", "cost", "unit", "x ideal", "x default"), rows)


def _verdict(case: PlatformCase) -> str:
    return "right" if case.correct else "WRONG"


def _ratios(cases: Sequence[PlatformCase]) -> tuple[str, str]:
    return (_mean([case.over_ideal for case in cases]), _mean([case.over_default for case in cases]))


def _mean(ratios: Sequence[float]) -> str:
    return f"{math.exp(math.fsum(map(math.log, ratios)) / len(ratios)):.3f}"


if __name__ == "__main__":
    raise SystemExit(main())
