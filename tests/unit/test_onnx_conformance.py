"""Tests that crash, hang or raise are verdicts; the page says why each one did not pass."""

from __future__ import annotations

import os
import signal
import time
import unittest
from collections.abc import Callable
from pathlib import Path

import pytest

from flextune.errors import ModelError, UsageError
from flextune.measure.watch import RunLimits
from onnx_conformance.cases import Case, Elements
from onnx_conformance.causes import cause_of
from onnx_conformance.report import BEGIN, END, update_page
from onnx_conformance.run import judged, run_isolated
from onnx_conformance.verdict import TestResult, Verdict


def fine() -> None:
    return


def segfault() -> None:
    os.kill(os.getpid(), signal.SIGSEGV)


def abort() -> None:
    os.abort()


def hang() -> None:
    time.sleep(60)


def differ() -> None:
    assert [1, 2] == [1, 3], "Not equal\nto tolerance"


def refuse() -> None:
    raise ModelError("model 'm' uses 1 operator(s) that cannot be imported:\n  Det: d")


def skip() -> None:
    raise unittest.SkipTest("not for this backend")


def break_down() -> None:
    raise KeyError("no such thing")


def case(run: Callable[[], None], name: str = "", loosely: Callable[[], None] | None = None) -> Case:
    return Case(name or run.__name__, "node", "Add", Elements.FLOAT32, run, loosely)


def test_each_ending_is_a_verdict_and_later_tests_still_run() -> None:
    runs = [segfault, fine, abort, hang, differ, refuse, skip, break_down]
    cases = {run.__name__: case(run) for run in runs} | {"last": case(fine, "last")}
    told: list[str] = []
    results = run_isolated(cases, list(cases), 2, RunLimits(timeout_secs=1.0), lambda result: told.append(result.name))
    assert {result.name: str(result.verdict) for result in results} == {
        "segfault": "crashed",
        "fine": "passed",
        "abort": "crashed",
        "hang": "timeout",
        "differ": "wrong",
        "refuse": "refused",
        "skip": "skipped",
        "break_down": "error",
        "last": "passed",
    }
    assert [result.name for result in results] == list(cases)
    assert sorted(told) == sorted(cases)
    reasons = {result.name: result.reason for result in results}
    assert "SIGSEGV" in reasons["segfault"]
    assert "no end after 1 s" in reasons["hang"]
    assert reasons["differ"].startswith("Not equal to tolerance")
    assert reasons["break_down"] == "KeyError: 'no such thing'"


def test_rounding_is_told_apart_from_a_wrong_number() -> None:
    assert judged(case(differ, loosely=fine)).verdict is Verdict.ROUNDED
    assert judged(case(differ, loosely=differ)).verdict is Verdict.WRONG


@pytest.mark.parametrize(
    ("verdict", "reason", "words"),
    [
        (
            Verdict.REFUSED,
            "model 'm': operator Resize cannot be imported as it is used in y: no",
            "`Resize` as it is used",
        ),
        (Verdict.REFUSED, "x uses 1 operator(s) that cannot be imported: ai.onnx.ml::Scaler: #0", "ai.onnx.ml"),
        (Verdict.REFUSED, "input 'x' is no tensor; only tensors are supported", "Sequences"),
        (Verdict.CRASHED, "worker killed by SIGSEGV: ", "**Crashed**: worker killed by SIGSEGV"),
    ],
)
def test_causes(verdict: Verdict, reason: str, words: str) -> None:
    assert words in cause_of(TestResult("t", verdict, reason))


def test_page_is_renewed_between_its_marks(tmp_path: Path) -> None:
    page = tmp_path / "onnx.md"
    page.write_text(f"# Title\n\n{BEGIN}\nold\n{END}\n\nafter\n")
    elsewhere = Case("test_c_cpu", "node", "Add", Elements.FLOAT32, fine, is_own=lambda: False)
    cases = {each.name: each for each in (case(fine, "test_a_cpu"), case(refuse, "test_b_cpu"), elsewhere)}
    update_page(page, cases, [judged(each) for each in cases.values()])
    text = page.read_text()
    assert text.startswith("# Title\n")
    assert text.endswith(f"{END}\n\nafter\n")
    assert "old" not in text
    assert "| float32, operators of the benchmarked models | 3 | 33.3 % | 66.7 % | 1 | 0 | 1 | 1 |" in text
    assert "* Hybrid: passed with nodes in ONNX Runtime (1): c" in text
    assert "* Operators that are not supported (1): b" in text


def test_page_without_marks_is_left_alone(tmp_path: Path) -> None:
    page = tmp_path / "other.md"
    page.write_text("# Other\n")
    with pytest.raises(UsageError, match="lacks the lines"):
        update_page(page, {}, [])
    assert page.read_text() == "# Other\n"
