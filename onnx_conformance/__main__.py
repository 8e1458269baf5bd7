"""`python -m onnx_conformance`: the whole suite, or a part of it, and its page in the docs."""

from __future__ import annotations

import argparse
import json
import re
import sys
import warnings
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from importlib import import_module
from pathlib import Path
from typing import NoReturn

from flextune.measure.watch import RunLimits
from flextune.torch_import import hide_torch

hide_torch()

from onnx_conformance.cases import Case, WatchedBackend, operator_cases, suite_cases  # noqa: E402 - after torch is hidden
from onnx_conformance.light import light_cases  # noqa: E402
from onnx_conformance.report import update_page  # noqa: E402
from onnx_conformance.run import LIMITS, run_isolated  # noqa: E402
from onnx_conformance.verdict import FAULTS, TestResult, Verdict  # noqa: E402


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Exit code 1 where a number was wrong, or anything but a test or a clear refusal came out."""
    options = _parser().parse_args(arguments)
    cases = load_cases(options.backend, options.files)
    names = [name for name in cases if re.search(options.include, name) and not _excluded(options.exclude, name)]
    if options.models:
        names = [name for name in names if cases[name].matters_most]
    number, parts = options.part
    names = names[number - 1 :: parts]
    if options.read:
        results = read_results(options.read)
    else:
        limits = RunLimits(options.timeout, LIMITS.memory_bytes)
        results = run_isolated(cases, names, options.workers, limits, _Progress(len(names), options.verbose))
    if options.json:
        rows = [{**asdict(result), "kind": cases[result.name].kind} for result in results]
        options.json.write_text(json.dumps(rows, indent=1), encoding="utf-8")
    if options.page:
        update_page(options.page, cases, results)
    counts = Counter(result.verdict for result in results)
    sys.stdout.write(", ".join(f"{counts[verdict]} {verdict}" for verdict in Verdict if counts[verdict]) + "\n")
    sys.exit(int(any(result.verdict in FAULTS for result in results)))


def load_cases(backend: str, files: Sequence[str]) -> dict[str, Case]:
    """All tests, or those of some files, for the module of this name, which is loaded here so that workers need not."""
    module = WatchedBackend(import_module(backend))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # the tests compute infinities on purpose
        if files:
            return operator_cases(module, files)
        return {**suite_cases(module), **light_cases(module)}


def read_results(files: Sequence[Path]) -> list[TestResult]:
    """What runs of parts wrote; of a test in several files the last one counts."""
    found = {}
    for file in files:
        for row in json.loads(file.read_text(encoding="utf-8")):
            found[row["name"]] = TestResult(row["name"], Verdict(row["verdict"]), row["reason"], row["secs"])
    return list(found.values())


class _Progress:
    """Says what went wrong as it comes; where `verbose`, every result."""

    def __init__(self, total: int, verbose: bool) -> None:
        self._total = total
        self._shown = tuple(Verdict) if verbose else FAULTS
        self._done = 0

    def __call__(self, result: TestResult) -> None:
        self._done += 1
        if result.verdict in self._shown:
            line = f"{self._done}/{self._total} {result.name}: {result.verdict} {result.reason[:400]}"
            sys.stderr.write(" ".join(line.split()) + "\n")


def _excluded(pattern: str | None, name: str) -> bool:
    return pattern is not None and re.search(pattern, name) is not None


def _part(text: str) -> tuple[int, int]:
    number, _, parts = text.partition("/")
    if not number.isdigit() or not parts.isdigit() or not 1 <= int(number) <= int(parts):
        raise argparse.ArgumentTypeError(f"expected I/N with 1 <= I <= N, got {text!r}")
    return int(number), int(parts)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m onnx_conformance", description=__doc__)
    parser.add_argument("--backend", default="flextune.onnx_backend", help="The module with prepare, run_model, ...")
    parser.add_argument(
        "--files", nargs="+", default=(), metavar="FILE", help="Only node tests of these operators' files."
    )
    parser.add_argument("--include", default="", metavar="REGEX", help="Only tests whose name has this in it.")
    parser.add_argument("--exclude", metavar="REGEX", help="No tests whose name has this in it.")
    parser.add_argument(
        "--models", action="store_true", help="Only float32 tests of the benchmarked models' operators."
    )
    parser.add_argument("--part", type=_part, default=(1, 1), metavar="I/N", help="Every N-th test, from the I-th on.")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--timeout", type=float, default=LIMITS.timeout_secs, help="Seconds per test.")
    parser.add_argument("--verbose", action="store_true", help="Show every result, not only what went wrong.")
    parser.add_argument("--json", type=Path, metavar="FILE", help="Write every result there.")
    parser.add_argument(
        "--read", nargs="+", default=(), type=Path, metavar="FILE", help="Run nothing: what parts wrote with --json."
    )
    parser.add_argument("--page", type=Path, metavar="FILE", help="Renew the results in this Markdown page.")
    return parser


if __name__ == "__main__":
    main()
