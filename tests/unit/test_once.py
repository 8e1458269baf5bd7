"""What is done once is done once by however many threads, and again where it failed."""

import threading
import time

import pytest

from flextune.once import once


def test_threads_that_come_at_the_same_time_wait_for_the_first():
    seen, finished = [], []

    @once
    def slow():
        seen.append(1)
        time.sleep(0.05)
        finished.append(1)

    def call():
        slow()
        assert finished

    threads = [threading.Thread(target=call) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (seen, finished) == ([1], [1])


def test_a_call_that_raises_leaves_it_to_be_done():
    outcomes = [ValueError, None]

    @once
    def fails_first():
        outcome = outcomes.pop(0)
        if outcome is not None:
            raise outcome

    with pytest.raises(ValueError):
        fails_first()
    fails_first()
    fails_first()
    assert outcomes == []
