"""Processes forked on request: in order, with pipes of their own, from one that can be lost."""

import os
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from flextune.measure.fork_server import ForkServer, run_and_exit, serve_forks

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="processes cannot be forked here")


def _work(requests: int, replies: int, note: str) -> None:
    """Says its note, or its process number; ends with the code it is asked for."""
    os.write(replies, (note or str(os.getpid())).encode())
    os._exit(int(os.read(requests, 10)))


@pytest.fixture
def server() -> Iterator[tuple[ForkServer, int]]:
    ours, theirs = socket.socketpair()
    pid = os.fork()
    if not pid:
        ours.close()
        run_and_exit(lambda: serve_forks(theirs, _work))
    theirs.close()
    made = ForkServer(ours)
    yield made, pid
    made.end()
    os.waitpid(pid, 0)


def _start(server: ForkServer, note: str) -> tuple[int, int, int]:
    """The ticket, where to write requests, and where to read replies."""
    requests, request_end = os.pipe()
    reply_end, replies = os.pipe()
    ticket = server.start(requests, replies, note)
    for pipe in (requests, replies):
        os.close(pipe)
    return ticket, request_end, reply_end


def test_workers_have_their_own_pipes_and_exit_codes(server: tuple[ForkServer, int]) -> None:
    started = [_start(server[0], note) for note in ("one", "two words", "three")]
    for code, (_, requests, _) in enumerate(started):
        os.write(requests, str(code).encode())
    assert [os.read(replies, 100).decode() for _, _, replies in started] == ["one", "two words", "three"]
    assert [server[0].reap(ticket) for ticket, _, _ in reversed(started)] == [2, 1, 0]
    assert len({server[0].pid(ticket) for ticket, _, _ in started}) == 3
    for _, requests, replies in started:
        os.close(requests)
        os.close(replies)


def test_several_threads_may_ask_at_the_same_time(server: tuple[ForkServer, int]) -> None:
    together = threading.Barrier(8)

    def one_after_the_other(_: int) -> list[bool]:
        return [is_told() for _ in range(10)]

    def is_told() -> bool:
        """Whether the server's number of a worker is the one that the worker itself says, and its code its own."""
        together.wait(30)
        ticket, requests, replies = _start(server[0], "")
        said, told = int(os.read(replies, 100)), server[0].pid(ticket)
        os.write(requests, str(said % 100).encode())
        code = server[0].reap(ticket)
        for pipe in (requests, replies):
            os.close(pipe)
        return (told, code) == (said, said % 100)

    with ThreadPoolExecutor(8) as threads:
        assert all(all(found) for found in threads.map(one_after_the_other, range(8)))


def test_a_killed_worker_tells_its_signal(server: tuple[ForkServer, int]) -> None:
    ticket, requests, replies = _start(server[0], "hello")
    pid = server[0].pid(ticket)
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    assert server[0].reap(ticket) == -signal.SIGKILL
    os.close(requests)
    os.close(replies)


def test_of_a_lost_server_there_are_no_more_workers(server: tuple[ForkServer, int]) -> None:
    os.kill(server[1], signal.SIGKILL)
    ticket, requests, replies = _start(server[0], "hello")
    assert server[0].pid(ticket) is None
    assert server[0].reap(ticket) is None
    assert os.read(replies, 100) == b""
    os.close(requests)
    os.close(replies)
