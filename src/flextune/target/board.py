"""`Board`: another machine, on which programs run over ssh. It has to have a shell, and what every small system has."""

from __future__ import annotations

import re
import shlex
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from flextune.errors import EnvironmentFault, UsageError
from flextune.settings import ssh_command

PREFIX = "ssh:"
"""What the names of runners on boards begin with."""
EXAMPLE = f"{PREFIX}HOST"
INSTALL_SSH = "apt-get install openssh-client"

_NAME = re.compile(r"(?P<host>[A-Za-z0-9_][A-Za-z0-9_.@-]*)(:(?P<port>\d{1,5}))?")
_OPTIONS = ("BatchMode=yes", "ConnectTimeout=10", "ServerAliveInterval=3", "ServerAliveCountMax=3", "LogLevel=ERROR")
_BEGAN = b"flextune began\n"
_NO_CONNECTION = 255
"""What ssh ends with when it is its own fault."""
_KILLED = 137
_AGAIN_SECS = 2.0
WAIT_SECS = 20.0
"""So long a board may be away before a program is given up that has not begun there."""


class BoardError(RuntimeError):
    """A program could not be run on a board, or failed there; what it was to measure is lost, and nothing else."""


@dataclass(frozen=True, slots=True)
class Call:
    """A program that is run once in a folder of its own, which goes with it."""

    files: tuple[tuple[str, bytes], ...]
    """By name; the first is the program."""
    words: tuple[str, ...]
    """The program's arguments."""
    returned: tuple[str, ...] = ()
    """Names of files that come back, one behind the other, after what the program prints."""
    limit_secs: float = 60.0
    """The program is killed after so long."""


@dataclass(frozen=True, slots=True)
class Board:
    """A machine by the name that ssh has for it.

    >>> str(Board.parse("ssh:pi@board:2222"))
    'ssh:pi@board:2222'
    """

    host: str
    """As ssh takes it: an address or a name of its configuration, perhaps with `user@`."""
    port: int = 0
    """0 where ssh's configuration says it."""

    @classmethod
    def parse(cls, text: str) -> Self:
        """Inverse of `str`. Raises `UsageError`."""
        found = _NAME.fullmatch(text.removeprefix(PREFIX)) if text.startswith(PREFIX) else None
        if found is None or int(found["port"] or 1) not in range(1, 1 << 16):
            raise UsageError(f"expected {PREFIX}[USER@]HOST[:PORT] for a board, got {text!r}")
        return cls(found["host"], int(found["port"] or 0))

    def __str__(self) -> str:
        return f"{PREFIX}{self.host}:{self.port}" if self.port else f"{PREFIX}{self.host}"

    def run(self, call: Call, wait_secs: float = WAIT_SECS) -> tuple[str, bytes]:
        """What the program printed, and the files that come back.

        Waits for a board that does not answer; once a program has begun it is not run again. Raises `BoardError`.
        """
        command = self._command(f"exec sh -c {shlex.quote(_script(call))}")
        given = b"".join(content for _, content in call.files)
        deadline = time.monotonic() + wait_secs
        while True:
            ended = _ended(command, given)
            if _BEGAN in ended.stdout or ended.returncode != _NO_CONNECTION or not _may_come_back(ended.stderr):
                return self._result(ended, call)
            if time.monotonic() >= deadline:
                raise BoardError(self._refusal(ended.stderr))
            time.sleep(_AGAIN_SECS)

    def fault(self, program: bytes, purpose: str) -> str:
        """Why a small program does not run there, and what to do; empty where it does. `purpose` says what it is."""
        try:
            self.run(Call((("program", program),), ()), wait_secs=0)
        except BoardError as error:
            return f"{error}; it is to run {purpose}"
        return ""

    def _command(self, remote: str) -> list[str]:
        options = [word for option in _OPTIONS for word in ("-o", option)]
        port = ["-p", str(self.port)] if self.port else []
        return [*ssh_command(), "-T", *options, *port, "--", self.host, remote]

    def _result(self, ended: subprocess.CompletedProcess[bytes], call: Call) -> tuple[str, bytes]:
        _, began, rest = ended.stdout.partition(_BEGAN)
        said = _last_line(ended.stderr)
        if ended.returncode == _NO_CONNECTION:
            raise BoardError(
                f"{self} was lost while a program ran there: {said}" if began else self._refusal(ended.stderr)
            )
        if ended.returncode == _KILLED:
            raise BoardError(f"{self}: the program was killed, as it is after {call.limit_secs:.0f} s: {said}")
        if ended.returncode != 0:
            raise BoardError(f"{self}: a program ended with {ended.returncode}: {said}")
        head, _, files = rest.partition(b"\0")
        return head.decode(errors="replace"), files

    def _refusal(self, stderr: bytes) -> str:
        text = stderr.decode(errors="replace")
        for sign, meaning in _REFUSALS:
            if sign in text:
                return f"{self}: {meaning.format(host=self.host, last=_last_line(stderr))}"
        return f"{self} does not answer: {_last_line(stderr)}"


_REFUSALS = (
    (
        "IDENTIFICATION HAS CHANGED",
        "its host key is not the one that is known. Either the board was set up anew (then forget the old key with "
        "ssh-keygen -R, and call ssh {host} once), or another machine answers in its place",
    ),
    ("Host key verification failed", "its host key is not known yet: call ssh {host} once, and accept the key"),
    ("Permission denied", "it lets nobody in without a password: ssh-copy-id {host} ({last})"),
    ("Could not resolve", "there is no host of this name: {last}"),
)
"""What ssh says, and what that means; the first that fits."""


def _may_come_back(stderr: bytes) -> bool:
    text = stderr.decode(errors="replace")
    return not any(sign in text for sign, _ in _REFUSALS)


def _last_line(text: bytes) -> str:
    lines = [line.strip() for line in text.decode(errors="replace").splitlines() if line.strip()]
    return lines[-1][-300:] if lines else "nothing was said"


def _ended(command: Sequence[str], given: bytes) -> subprocess.CompletedProcess[bytes]:
    try:
        return subprocess.run(command, input=given, capture_output=True, check=False)
    except OSError as error:
        raise EnvironmentFault(f"{command[0]} cannot be run: {error}; {INSTALL_SSH}") from error


def _script(call: Call) -> str:
    """POSIX shell: all files come one behind the other, and the program is killed after its time."""
    name = shlex.quote(call.files[0][0])
    words = " ".join(map(shlex.quote, call.words))
    returned = " ".join(map(shlex.quote, call.returned))
    total = sum(len(content) for _, content in call.files)
    lines = [
        'umask 077; d=$(mktemp -d "${TMPDIR:-/tmp}/flextune-XXXXXX") || exit 120',
        'trap \'rm -rf "$d"\' EXIT; trap "exit 121" HUP INT TERM; cd "$d" || exit 122',
        f"cat >.all && [ $(wc -c <.all) -eq {total} ] || exit 123",
        f"printf '{_BEGAN.decode().strip()}\\n'",
        *_parts(call.files),
        f"rm .all; chmod 700 {name}",
        f"$FLEXTUNE_LAUNCH ./{name} {words} >.said </dev/null & p=$!",
        f"( sleep {max(1, round(call.limit_secs))}; kill -9 $p ) >/dev/null 2>&1 & w=$!",
        "wait $p; s=$?; kill $w 2>/dev/null; [ $s -eq 0 ] || exit $s",
        f"cat .said && printf '\\000' && cat /dev/null {returned}",
    ]
    return "\n".join(lines)


def _parts(files: Sequence[tuple[str, bytes]]) -> list[str]:
    lines, begin = [], 1
    for name, content in files:
        lines.append(f"tail -c +{begin} .all | head -c {len(content)} >{shlex.quote(name)} || exit 124")
        begin += len(content)
    return lines
