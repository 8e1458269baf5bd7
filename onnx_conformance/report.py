"""The results as a page: totals by kind of test, then every test that did not pass, grouped by cause."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path

from flextune.errors import UsageError
from onnx_conformance.cases import MODEL_OPERATORS, Case, Elements
from onnx_conformance.causes import cause_of
from onnx_conformance.verdict import TestResult, Verdict

OWN = (Verdict.PASSED, Verdict.ROUNDED)
GOOD = (*OWN, Verdict.HYBRID)

BEGIN, END = "<!-- results: begin -->", "<!-- results: end -->"

GROUPS: Sequence[tuple[str, Callable[[Case], bool]]] = (
    ("float32, operators of the benchmarked models", lambda case: case.matters_most),
    (
        "nodes, all numbers of 16 bits and more",
        lambda case: case.kind == "node" and case.elements not in (Elements.NARROW, Elements.OTHER),
    ),
    *(
        (f"nodes, {elements}", lambda case, elements=elements: case.kind == "node" and case.elements is elements)
        for elements in Elements
    ),
    ("PyTorch's operators and modules", lambda case: case.kind.startswith("pytorch")),
    ("small models", lambda case: case.kind == "simple"),
    ("light models, their own weights", lambda case: case.kind == "real"),
    ("light models, random weights", lambda case: case.kind == "light"),
)
"""Rows of the table; the first two are parts of others."""


def update_page(page: Path, cases: Mapping[str, Case], results: Sequence[TestResult]) -> None:
    """Replace what stands between the marks of the page. Raises `UsageError` for a page without them."""
    text = page.read_text(encoding="utf-8") if page.exists() else ""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise UsageError(f"{page} lacks the lines {BEGIN} and {END} that the results are written between")
    body = "\n".join(report(cases, results))
    page.write_text(f"{before}{BEGIN}\n{body}\n{END}{after}", encoding="utf-8")


def report(cases: Mapping[str, Case], results: Sequence[TestResult]) -> list[str]:
    """Lines of Markdown."""
    own, all_ = (sum(result.verdict in verdicts for result in results) for verdicts in (OWN, GOOD))
    versions = ", ".join(f"{name} {version(name)}" for name in ("onnx", "apache-tvm", "onnxruntime"))
    return [
        f"{versions}: {len(results)} tests; {own} pass by our own kernels, {all_} with ONNX Runtime for the rest.",
        "",
        *_totals(cases, results),
        "",
        f"The benchmarked models use {', '.join(f'`{name}`' for name in sorted(MODEL_OPERATORS))}.",
        "",
        "### What our own kernels do not pass",
        "",
        *_failures(results),
    ]


def _totals(cases: Mapping[str, Case], results: Sequence[TestResult]) -> Iterator[str]:
    shown = [verdict for verdict in Verdict if verdict is not Verdict.SKIPPED]
    yield f"| tests | number | own kernels | with ONNX Runtime | {' | '.join(shown)} |"
    yield f"|---|---:|---:|---:|{'---:|' * len(shown)}"
    for title, belongs in GROUPS:
        counts = Counter(result.verdict for result in results if belongs(cases[result.name]))
        if total := sum(counts.values()):
            shares = (f"{100 * sum(counts[each] for each in verdicts) / total:.1f} %" for verdicts in (OWN, GOOD))
            numbers = " | ".join(str(counts[each]) for each in shown)
            yield f"| {title} | {total} | {' | '.join(shares)} | {numbers} |"


def _failures(results: Sequence[TestResult]) -> Iterator[str]:
    groups: dict[str, list[TestResult]] = {}
    for result in results:
        if result.verdict is Verdict.ROUNDED:
            groups.setdefault("Rounded: differences in the last places", []).append(result)
        elif result.verdict is Verdict.HYBRID:
            groups.setdefault("Hybrid: passed with nodes in ONNX Runtime", []).append(result)
        elif result.verdict not in (Verdict.PASSED, Verdict.SKIPPED):
            groups.setdefault(cause_of(result), []).append(result)
    if not groups:
        yield "Nothing."
    for cause, members in sorted(groups.items(), key=lambda group: (-len(group[1]), group[0])):
        names = sorted(member.name.removesuffix("_cpu").removeprefix("test_") for member in members)
        yield f"* {cause} ({len(members)}): {', '.join(names)}"
