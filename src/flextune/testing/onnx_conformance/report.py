"""The results as a page: totals by kind of test, then every test that did not pass, grouped by cause."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from flextune.testing.onnx_conformance.cases import Case
from flextune.testing.onnx_conformance.verdict import TestResult


def update_page(page: Path, cases: Mapping[str, Case], results: Sequence[TestResult]) -> None:
    """Later."""
