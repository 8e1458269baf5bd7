"""Boards over ssh: their names, a real server on this machine, and what is said when it is not as expected."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace

import pytest

from flextune.errors import UsageError
from flextune.target import kinds
from flextune.target.board import Board, BoardError, Call
from flextune.target.target import Target
from flextune.testing.ssh import SshServer, why_no_server

ECHO = b'#!/bin/sh\nread line <in; echo "$line, $1"; printf "\\0\\377" >out; echo noise >&2\n'
TWICE = Call((("program", ECHO), ("in", b"hello\n"), ("out", b"")), ("it's $HOME",), ("out", "in"))


@pytest.mark.parametrize("text", ["ssh:board", "ssh:pi@192.168.1.7", "ssh:user@a-b.example:2222"])
def test_names_round_trip(text: str) -> None:
    assert str(Board.parse(text)) == text


@pytest.mark.parametrize(
    "text",
    ["ssh:", "ssh:-oProxyCommand=reboot", "ssh:a b", "ssh:a;b", "ssh:a,b", "ssh:host:0", "ssh:host:99999", "board"],
)
def test_other_names_are_refused(text: str) -> None:
    with pytest.raises(UsageError, match=r"\[USER@\]HOST\[:PORT\]"):
        Board.parse(text)


def test_runners_are_boards_of_families_that_have_them() -> None:
    target = Target.parse("arm:rk3588")
    assert kinds.runner_of(target, "ssh:board") == "ssh:board"
    assert kinds.scale_of(target, "ssh:board").is_time
    assert not kinds.scale_of(target).is_time
    with pytest.raises(UsageError, match="got 'ssh:a b'"):
        kinds.runner_of(target, "ssh:a b")
    for other in ("hexagon:v68", "fpga:zu3eg", "null:cpu=any,cores=1"):
        with pytest.raises(UsageError, match="unknown runner 'ssh:board'"):
            kinds.runner_of(Target.parse(other), "ssh:board")


def test_without_ssh_the_line_that_installs_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("flextune.platforms.cpu.cross.host.zig_version", lambda: "0.13")
    monkeypatch.setenv("FLEXTUNE_SSH", "no-such-ssh -F file")
    fault = kinds.unmeasurable(Target.parse("arm:rk3588"), "ssh:board")
    assert fault.endswith("for which is missing: no-such-ssh (apt-get install openssh-client)")


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[SshServer]:
    if missing := why_no_server():
        pytest.skip(missing)
    with SshServer() as started:
        monkeypatch.setenv("FLEXTUNE_SSH", started.client)
        yield started


def test_a_program_runs_with_its_files_and_leaves_nothing(server: SshServer) -> None:
    board = Board.parse(server.runner)
    assert board.run(TWICE) == ("hello, it's $HOME\n", b"\0\377hello\n")
    large = os.urandom(3 << 20)
    cat = Call((("program", b"#!/bin/sh\n"), ("a", large), ("b", large[::-1])), (), ("b", "a"))
    assert board.run(cat) == ("", large[::-1] + large)
    assert not list(server.far.iterdir())


def test_a_program_that_fails_says_why(server: SshServer) -> None:
    board = Board.parse(server.runner)
    with pytest.raises(BoardError, match="ended with 3: no memory"):
        board.run(Call((("program", b"#!/bin/sh\necho no memory >&2; exit 3\n"),), ()))
    with pytest.raises(BoardError, match="killed, as it is after 1 s"):
        board.run(Call((("program", b"#!/bin/sh\nwhile :; do :; done\n"),), (), limit_secs=1))
    assert not list(server.far.iterdir())
    assert "it is to run static programs for Arm" in board.fault(b"\x7fELF", "static programs for Arm")


def test_a_board_that_dies_loses_one_program_and_is_waited_for(server: SshServer) -> None:
    board = Board.parse(server.runner)
    dies = Call((("program", b'#!/bin/sh\nsleep 1; kill -9 "$(cut -d" " -f4 /proc/$PPID/stat)"; sleep 9\n'),), ())
    with pytest.raises(BoardError, match="was lost while a program ran there"):
        board.run(dies)
    assert board.run(TWICE)[0] == "hello, it's $HOME\n"
    server.stop()
    with pytest.raises(BoardError, match=r"does not answer.*refused"):
        board.run(TWICE, wait_secs=0)
    comes_back = replace(TWICE, words=("back",))
    server.start()
    assert board.run(comes_back)[0] == "hello, back\n"


def test_what_ssh_refuses_is_one_message(server: SshServer) -> None:
    board = Board.parse(server.runner)
    server.stop()
    server.renew_host_key()
    server.start()
    assert "its host key is not the one that is known" in board.fault(ECHO, "a program")
    (server.folder / "known").write_text("")
    assert "call ssh board once, and accept the key" in board.fault(ECHO, "a program")
    server.accept_host_key()
    (server.folder / "user.pub").write_text("")
    assert "ssh-copy-id board" in board.fault(ECHO, "a program")
