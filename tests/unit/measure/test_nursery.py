"""Processes forked on request: in order, with pipes of their own, from one that can be lost."""

import os
import signal
import socket
import sys
from collections.abc import Iterator

import pytest

from flextune.measure.nursery import Nursery, nurse, run_and_exit

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="processes cannot be forked here")


def _work(requests: int, replies: int, note: str) -> None:
    """Says its note, and ends with the code it is asked for."""
    os.write(replies, note.encode())
    os._exit(int(os.read(requests, 10)))


@pytest.fixture
def nursery() -> Iterator[tuple[Nursery, int]]:
    ours, theirs = socket.socketpair()
    pid = os.fork()
    if not pid:
        ours.close()
        run_and_exit(lambda: nurse(theirs, _work))
    theirs.close()
    made = Nursery(ours)
    yield made, pid
    made.end()
    os.waitpid(pid, 0)


def _start(nursery: Nursery, note: str) -> tuple[int, int, int]:
    """The ticket, where to write requests, and where to read replies."""
    requests, request_end = os.pipe()
    reply_end, replies = os.pipe()
    ticket = nursery.start(requests, replies, note)
    for pipe in (requests, replies):
        os.close(pipe)
    return ticket, request_end, reply_end


def test_workers_have_their_own_pipes_and_exit_codes(nursery: tuple[Nursery, int]) -> None:
    started = [_start(nursery[0], note) for note in ("one", "two words", "three")]
    for code, (_, requests, _) in enumerate(started):
        os.write(requests, str(code).encode())
    assert [os.read(replies, 100).decode() for _, _, replies in started] == ["one", "two words", "three"]
    assert [nursery[0].reap(ticket) for ticket, _, _ in reversed(started)] == [2, 1, 0]
    assert len({nursery[0].pid(ticket) for ticket, _, _ in started}) == 3
    for _, requests, replies in started:
        os.close(requests)
        os.close(replies)


def test_a_killed_worker_tells_its_signal(nursery: tuple[Nursery, int]) -> None:
    ticket, requests, replies = _start(nursery[0], "hello")
    pid = nursery[0].pid(ticket)
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    assert nursery[0].reap(ticket) == -signal.SIGKILL
    os.close(requests)
    os.close(replies)


def test_of_a_lost_nursery_there_are_no_more_workers(nursery: tuple[Nursery, int]) -> None:
    os.kill(nursery[1], signal.SIGKILL)
    ticket, requests, replies = _start(nursery[0], "hello")
    assert nursery[0].pid(ticket) is None
    assert nursery[0].reap(ticket) is None
    assert os.read(replies, 100) == b""
    os.close(requests)
    os.close(replies)
