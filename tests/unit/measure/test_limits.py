"""Memory, processors, and threads of a worker."""

import mmap
import os
import sys
import threading

import numpy as np
import pytest

from flextune.measure.process_limits import ThreadPlaces, available_processors, memory_limit, resident_bytes

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="limits are those of Linux")


def test_memory_beyond_the_limit_is_refused_only_inside() -> None:
    with memory_limit(64 << 20, 0), pytest.raises(OSError, match="Cannot allocate memory"):
        mmap.mmap(-1, 256 << 20)  # new memory, while an array could lie where this process has freed others
    with mmap.mmap(-1, 256 << 20) as taken:
        assert len(taken) == 256 << 20


def test_resident_bytes() -> None:
    before = resident_bytes()
    taken = np.ones(64 << 20, dtype=np.uint8)
    assert resident_bytes() - before > 48 << 20
    assert taken.size
    assert resident_bytes(2**30) == 0


def test_processors_are_those_this_process_may_use() -> None:
    assert set(available_processors()) == os.sched_getaffinity(0)


def test_threads_get_a_core_each_and_the_caller_its_own_for_a_while() -> None:
    processors = available_processors()
    places = ThreadPlaces(len(processors))
    done = threading.Event()
    thread = threading.Thread(target=done.wait)
    thread.start()
    try:
        places.place_new_threads()
        assert os.sched_getaffinity(thread.native_id or 0) == {processors[1 % len(processors)]}
    finally:
        done.set()
        thread.join()
    with places.caller_pinned():
        assert os.sched_getaffinity(0) == {processors[0]}
    assert os.sched_getaffinity(0) == set(processors)
