from __future__ import annotations

import time
from collections.abc import Callable
from types import SimpleNamespace

import pytest

from flextune.platforms.cpu.tvm_kernel import TvmKernel


class Module:
    """A module whose function takes so long; TVM's evaluator says 42 s."""

    def __init__(self, secs: float) -> None:
        self.secs = secs

    def __getitem__(self, name: str) -> Callable[[], None]:
        return lambda: time.sleep(self.secs)

    def time_evaluator(self, name: str, device: object, *, number: int, repeat: int) -> Callable[[], SimpleNamespace]:
        return lambda: SimpleNamespace(results=[42.0] * repeat)


@pytest.mark.parametrize(
    ("secs", "number", "by_evaluator"), [(1e-3, 1, False), (1e-3, 4, False), (1e-3, 100, True), (0.0, 1, False)]
)
def test_few_long_calls_are_timed_by_the_clock(secs: float, number: int, by_evaluator: bool) -> None:
    times = TvmKernel(Module(secs), ()).time(number, 3)
    assert len(times) == 3
    assert all((each == 42.0) == by_evaluator and each >= secs for each in times)


def test_few_short_calls_are_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("flextune.platforms.cpu.tvm_kernel.time.perf_counter", iter((0.0, 3e-4)).__next__)
    assert TvmKernel(Module(0.0), ()).time(3, 2) == (42.0, 42.0)
