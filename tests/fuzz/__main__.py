"""`python -m tests.fuzz --minutes M`: damaged files of every kind, to everything that reads them.

Bad input ends with a `UsageError`, which is exit code 2, and nothing else: no other exception, no crash, no hang. What
ends otherwise is kept in a folder with the input that did it, and the run ends with exit code 1.
"""

from __future__ import annotations

import argparse
import ast
import os
import random
import shutil
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from flextune.errors import FlextuneError
from flextune.measure.fork_server import run_and_exit
from flextune.torch_import import hide_torch
from tests.fuzz.targets import TARGETS, FuzzTarget

_BATCH = 40
_HANG_SECS = 60


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--minutes", type=float, default=1.0)
    parser.add_argument("--inputs", type=int, default=10**9, help="end after so many, if that is sooner")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", nargs="*", choices=list(TARGETS), default=list(TARGETS))
    parser.add_argument("--keep", type=Path, default=Path(tempfile.gettempdir()) / "flextune-fuzz-findings")
    options = parser.parse_args(arguments)
    hide_torch()
    with tempfile.TemporaryDirectory(prefix="fuzz-") as scratch:
        return _Fuzzer(Path(scratch), options.keep, options.seed).run(
            options.only, options.minutes * 60, options.inputs
        )


class _Fuzzer:
    """Feeds batches in processes of their own, so that a crash ends a batch and is told by its input."""

    def __init__(self, folder: Path, keep: Path, seed: int) -> None:
        self._folder, self._keep, self._seed = folder, keep, seed
        self._counts: Counter[str] = Counter()
        self._refused: Counter[str] = Counter()
        self._findings: dict[str, Path] = {}

    def run(self, names: Sequence[str], secs: float, inputs: int) -> int:
        deadline, targets = time.monotonic() + secs, [self._target(name) for name in names]
        batch = 0
        while time.monotonic() < deadline and sum(self._counts.values()) < inputs:
            for target in targets:
                self._batch(target, batch, min(_BATCH, max(1, inputs // len(targets))))
            batch += 1
        for name in names:
            print(f"{name:12} {self._counts[name]:6} inputs, {self._refused[name]} refused")
        for text, path in self._findings.items():
            print(f"\n{path}\n{text}")
        print(f"{sum(self._counts.values())} inputs, {len(self._findings)} findings")
        return int(bool(self._findings))

    def _target(self, name: str) -> FuzzTarget:
        folder = self._folder / name
        folder.mkdir()
        return TARGETS[name](folder)

    def _batch(self, target: FuzzTarget, batch: int, count: int) -> None:
        report = self._folder / "report"
        report.write_text("")
        child = os.fork()
        if not child:
            rng = random.Random(f"{self._seed} {target.name} {batch}")
            run_and_exit(lambda: _feed(target, rng, count, self._folder, report))
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        for line in report.read_text().splitlines():
            kind, _, text = line.partition(" ")
            if kind == "finding":
                self._found(target, ast.literal_eval(text), self._folder / f"input{target.suffix}.kept")
            else:
                self._counts[target.name] += 1
                self._refused[target.name] += kind == "refused"
        if status != 0:
            how = "a hang" if status == -signal.SIGALRM else f"the process ended with {status}"
            self._found(target, f"{target.name}: {how}", self._folder / f"input{target.suffix}")

    def _found(self, target: FuzzTarget, text: str, data: Path) -> None:
        if text in self._findings:
            return
        self._keep.mkdir(parents=True, exist_ok=True)
        kept = self._keep / f"{target.name}-{len(self._findings)}{target.suffix}"
        shutil.copy(data, kept)
        self._findings[text] = kept


def _feed(target: FuzzTarget, rng: random.Random, count: int, folder: Path, report: Path) -> None:
    warnings.simplefilter("ignore")
    data = folder / f"input{target.suffix}"
    with report.open("a", buffering=1) as lines:
        for _ in range(count):
            data.unlink(missing_ok=True)  # the last one may be mapped as a library
            data.write_bytes(target.damaged(rng))
            signal.alarm(_HANG_SECS)
            what = _outcome(target, data)
            signal.alarm(0)
            lines.write(f"{what}\n")
            if what.startswith("finding"):
                shutil.copy(data, folder / f"input{target.suffix}.kept")
                return


def _outcome(target: FuzzTarget, data: Path) -> str:
    """`read`, `refused`, or `finding` with what it is, as the text of a Python value."""
    try:
        return "refused" if target.read(data) else "read"
    except FlextuneError as error:
        if error.exit_code == 2:
            return "refused"
        text = f"{target.name}: {type(error).__name__}: {str(error)[:300]}"
    except BaseException as error:  # noqa: BLE001 - whatever it is, it is a finding
        place = traceback.extract_tb(error.__traceback__)[-1]
        text = (
            f"{target.name}: {type(error).__name__} at {Path(place.filename).name}:{place.lineno}: {str(error)[:300]}"
        )
    return f"finding {text!r}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
