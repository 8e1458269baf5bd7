"""A board of one's own, to test against: this machine through an sshd on a port of its own, gone at the end.

    with SshServer() as server:
        os.environ["FLEXTUNE_SSH"] = server.client
        board = Board.parse(server.runner)

It needs OpenSSH's programs (Debian: `apt install openssh-server`); `why_no_server` says what is missing. With `launch`
all programs are started by another one, such as an emulator: then it is a board of another architecture.
"""

from __future__ import annotations

import getpass
import os
import shutil
import socket
import subprocess
import time
from pathlib import Path
from typing import Self

from flextune.errors import EnvironmentFault
from flextune.temporary import PrivateFolder

_INSTALLED = "/usr/sbin/sshd"
"""Where Debian has it, out of the way of PATH."""
_SEPARATION = Path("/run/sshd")
"""A folder that sshd wants when it runs as root."""
_START_SECS = 20
_SERVER = """\
Port {port}
ListenAddress 127.0.0.1
HostKey {folder}/host
PidFile none
AuthorizedKeysFile {folder}/user.pub
StrictModes no
PasswordAuthentication no
UsePAM no
PermitRootLogin yes
SetEnv FLEXTUNE_LAUNCH="{launch}" TMPDIR={folder}/far
"""
_CLIENT = """\
Host board
  HostName 127.0.0.1
  HostKeyAlias board
  Port {port}
  User {user}
  IdentityFile {folder}/user
  IdentitiesOnly yes
  UserKnownHostsFile {folder}/known
"""


def why_no_server() -> str:
    """What is missing; empty where a server can be started."""
    missing = [name for name in ("ssh", "ssh-keygen") if not shutil.which(name)]
    missing += [] if _sshd() else ["sshd"]
    return f"{' and '.join(missing)} not installed: apt-get install openssh-server" if missing else ""


class SshServer:
    """A board named `board`, as the runner `ssh:board`; `client` is the ssh that finds it (`$FLEXTUNE_SSH`)."""

    runner = "ssh:board"

    def __init__(self, launch: str = "") -> None:
        if missing := why_no_server():
            raise EnvironmentFault(missing)
        self._temporary = PrivateFolder(kind="ssh")
        self.folder = self._temporary.path
        self.client = f"ssh -F {self.folder}/client"
        self._process: subprocess.Popen[bytes] | None = None
        self.port = _free_port()
        self.far.mkdir()
        fill = {"port": self.port, "folder": self.folder, "launch": launch, "user": getpass.getuser()}
        (self.folder / "server").write_text(_SERVER.format(**fill), encoding="utf-8")
        (self.folder / "client").write_text(_CLIENT.format(**fill), encoding="utf-8")
        self._make_key("user")
        self.renew_host_key()
        self.accept_host_key()
        self.start()

    @property
    def far(self) -> Path:
        """Where the board has temporary files."""
        return self.folder / "far"

    def start(self) -> None:
        """Returns when the server answers."""
        if os.geteuid() == 0:
            _SEPARATION.mkdir(mode=0o755, exist_ok=True)
        command = [_sshd(), "-D", "-f", str(self.folder / "server"), "-E", str(self.folder / "log")]
        self._process = subprocess.Popen(command, start_new_session=True)
        deadline = time.monotonic() + _START_SECS
        while not _answers(self.port):
            if self._process.poll() is not None or time.monotonic() > deadline:
                log = self.folder / "log"
                raise EnvironmentFault(f"sshd does not start: {log.read_text() if log.exists() else 'it said nothing'}")
            time.sleep(0.02)

    def stop(self) -> None:
        """At once, with all that runs there: as a board that loses its power."""
        if self._process is not None:
            for pid in _descendants(self._process.pid):
                _kill(pid)
            self._process.kill()
            self._process.wait()
            self._process = None

    def renew_host_key(self) -> None:
        """As when a board is set up anew; a server that runs has to be started again to use it."""
        self._make_key("host")

    def accept_host_key(self) -> None:
        """What somebody does who calls ssh once and says yes."""
        kind, key, *_ = (self.folder / "host.pub").read_text(encoding="utf-8").split()
        (self.folder / "known").write_text(f"board {kind} {key}\n", encoding="utf-8")

    def close(self) -> None:
        """Stop it and remove all of it."""
        self.stop()
        self._temporary.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _make_key(self, name: str) -> None:
        path = self.folder / name
        path.unlink(missing_ok=True)
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(path)], check=True)


def _sshd() -> str:
    return shutil.which("sshd") or (_INSTALLED if Path(_INSTALLED).exists() else "")


def _free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port: int = taken.getsockname()[1]
        return port


def _answers(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), 1):
            return True
    except OSError:
        return False


def _descendants(pid: int) -> list[int]:
    """Of a process, the youngest first."""
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="utf-8").split()
    except OSError:
        return []
    return [each for child in map(int, children) for each in (*_descendants(child), child)]


def _kill(pid: int) -> None:
    try:
        os.kill(pid, 9)
    except OSError:
        return
