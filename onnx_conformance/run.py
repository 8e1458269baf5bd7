"""Running tests in worker processes: one that crashes, hangs or takes all memory is a verdict, not the end."""

from __future__ import annotations

import os
import sys
import tempfile
import time
import unittest
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Any

from flextune.errors import FlextuneError
from flextune.measure.ending import Ending, Outcome
from flextune.measure.outcome import cause_of_end
from flextune.measure.trial_steps import Call, called
from flextune.measure.watch import RunLimits
from flextune.measure.wire import Message
from flextune.measure.worker_process import Worker
from flextune.trial.measurement import Status
from onnx_conformance.cases import Case
from onnx_conformance.verdict import TestResult, Verdict

LIMITS = RunLimits(timeout_secs=60.0, memory_bytes=8 << 30)

_REASON_CHARACTERS = 600

Watcher = Callable[[TestResult], None]


def run_isolated(
    cases: Mapping[str, Case],
    names: Sequence[str],
    workers: int = 2,
    limits: RunLimits = LIMITS,
    watch: Watcher | None = None,
) -> list[TestResult]:
    """The results in the order of `names`. `watch` is told each one as it comes.

    Workers are forked from this process as it is when called, so what the tests need is best loaded before.
    """
    waiting: SimpleQueue[str] = SimpleQueue()
    for name in names:
        waiting.put(name)
    results: dict[str, TestResult] = {}
    with ExitStack() as stack:
        log = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="flextune-onnx-")))
        served = [_Served(cases, log / f"{number}.log") for number in range(workers)]
        # This forks, and so comes before any thread is started.
        made = [stack.enter_context(Worker.of_function(each.serve)) for each in served]
        threads = [
            Thread(target=_drain, args=(worker, limits, each, waiting, results, watch))
            for worker, each in zip(made, served, strict=True)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    return [results[name] for name in names]


def judged(case: Case) -> TestResult:
    """Run a test here and say what it came to."""
    started = time.perf_counter()
    verdict, reason = _verdict(case)
    if verdict in (Verdict.PASSED, Verdict.ROUNDED) and not case.is_own():
        verdict = Verdict.HYBRID
    return TestResult(case.name, verdict, reason[:_REASON_CHARACTERS], time.perf_counter() - started)


def _verdict(case: Case) -> tuple[Verdict, str]:
    try:
        case.run()
    except FlextuneError as error:
        return Verdict.REFUSED, str(error)
    except unittest.SkipTest as error:
        return Verdict.SKIPPED, str(error)
    except AssertionError as error:
        return (Verdict.ROUNDED if _is_rounding(case) else Verdict.WRONG), " ".join(str(error).split())
    except Exception as error:  # noqa: BLE001 - whatever a backend raises by mistake is the result
        return Verdict.ERROR, f"{type(error).__name__}: {_last_line(error)}"
    return Verdict.PASSED, ""


def _is_rounding(case: Case) -> bool:
    """Whether a test whose outputs differ passes with the tolerance of its element type."""
    try:
        if case.run_loosely is None:
            return False
        case.run_loosely()
    except AssertionError:
        return False
    return True


def _last_line(error: Exception) -> str:
    return next((line.strip() for line in reversed(str(error).splitlines()) if line.strip()), "")


def _drain(
    worker: Worker,
    limits: RunLimits,
    served: _Served,
    waiting: SimpleQueue[str],
    results: dict[str, TestResult],
    watch: Watcher | None,
) -> None:
    for name in _taken(waiting):
        outcome = called(worker, Call({"name": name}, limits, keeps=True))
        results[name] = _result(name, outcome, served)
        if watch is not None:
            watch(results[name])


def _taken(waiting: SimpleQueue[str]) -> Iterator[str]:
    while True:
        try:
            yield waiting.get_nowait()
        except Empty:
            return


def _result(name: str, outcome: Outcome, served: _Served) -> TestResult:
    if outcome.ending is not Ending.REPLY:
        status, cause = cause_of_end(outcome)
        verdict = Verdict.TIMEOUT if status is Status.RUN_TIMEOUT else Verdict.CRASHED
        return TestResult(name, verdict, f"{cause}: {served.said()}", outcome.elapsed_secs)
    reply = outcome.reply
    return TestResult(name, Verdict(reply["verdict"]), reply["reason"], reply["secs"])


class _Served:
    """The worker's side: runs a test by name; what it prints goes to a file."""

    def __init__(self, cases: Mapping[str, Case], log: Path) -> None:
        self._cases = cases
        self._log = log

    def serve(self, request: Message) -> dict[str, Any]:
        self._redirect()
        result = judged(self._cases[request["name"]])
        return {"verdict": str(result.verdict), "reason": result.reason, "secs": result.secs}

    def said(self) -> str:
        """The last line that the worker printed."""
        try:
            lines = self._log.read_text(errors="replace").splitlines()
        except OSError:
            return ""
        return next((line.strip() for line in reversed(lines) if line.strip()), "")[-_REASON_CHARACTERS:]

    def _redirect(self) -> None:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        log = os.open(self._log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND)
        for fd in (1, 2):
            os.dup2(log, fd)
        os.close(log)
