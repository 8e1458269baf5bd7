"""Ctrl-C is noticed even where Python drops the exception."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator

import pytest

from flextune.tuning.interruption import noticed_interruption


@pytest.fixture(autouse=True)
def interrupts() -> Iterator[None]:
    """As in a program in the foreground: a shell lets what it runs in the background ignore Ctrl-C."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


class LosesExceptions:
    """What is raised in a destructor is printed and forgotten."""

    def __del__(self) -> None:
        signal.raise_signal(signal.SIGINT)
        time.sleep(0)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_lost_interrupt_is_found_at_the_next_check() -> None:
    before = signal.getsignal(signal.SIGINT)
    with noticed_interruption() as interruption:
        interruption.check()
        something = LosesExceptions()
        del something
        assert interruption.came
        with pytest.raises(KeyboardInterrupt):
            interruption.check()
    assert signal.getsignal(signal.SIGINT) is before


def test_an_interrupt_is_raised_at_once_as_ever() -> None:
    with pytest.raises(KeyboardInterrupt), noticed_interruption():
        signal.raise_signal(signal.SIGINT)


def test_other_threads_get_no_signals_and_need_no_handler() -> None:
    found: list[bool] = []

    def work() -> None:
        with noticed_interruption() as interruption:
            found.append(interruption.came)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert found == [False]
