"""The nursery of measuring workers: a process that loads the platform once and forks every worker from that."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

from flextune.errors import WorkerError
from flextune.measure.nursery import Nursery
from flextune.measure.options import MeasureOptions

SPIN_COUNT = 20_000
"""How long TVM's threads spin for the next call before they sleep (its own default is 300 000, tens of milliseconds);
short enough that a worker that is done does not disturb the next one."""
_LOG = "nursery.log"


class WorkerNursery:
    """Starts workers; its process starts with the first one, and anew should it have died.

    What it prints goes to `log` in `folder`, for when it does not come up.
    """

    def __init__(self, options: MeasureOptions, cores: int, folder: Path) -> None:
        self._arguments = (str(os.getpid()), str(cores), str(options))
        self._environment = _environment(cores)
        self.log = folder / _LOG
        self._popen: subprocess.Popen[bytes] | None = None
        self._nursery: Nursery | None = None

    def start(self, requests: int, replies: int, log: Path, kind: str) -> tuple[Nursery, int]:
        """Ask for a worker that reads and writes these pipe ends and has the platform `kind` loaded.

        Returns the nursery that it is to be asked about, and its ticket there.
        """
        if self._nursery is None or self._popen is None or self._popen.poll() is not None:
            self.close()
            self._nursery = self._spawn(kind)
        note = json.dumps({"log": str(log), "kind": kind})
        return self._nursery, self._nursery.start(requests, replies, note)

    def exit_code(self, within_secs: float) -> int | None:
        """Of the nursery's own process, should it end within this time."""
        assert self._popen is not None  # it was asked for a worker
        try:
            return self._popen.wait(within_secs)
        except subprocess.TimeoutExpired:
            return None

    def close(self) -> None:
        """End the nursery, and with it all workers."""
        if self._nursery is not None:
            self._nursery.end()
            self._nursery = None
        if self._popen is not None:
            self._popen.kill()
            self._popen.wait()
            self._popen = None

    def _spawn(self, kind: str) -> Nursery:
        ours, theirs = socket.socketpair()
        # -P: the current folder stays off the module path, where a stray numpy.py would be found first
        command = [sys.executable, "-P", "-m", "flextune.measure.worker", *self._arguments, kind, str(theirs.fileno())]
        try:
            with self.log.open("ab") as log, theirs:
                self._popen = subprocess.Popen(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    env=self._environment,
                    pass_fds=(theirs.fileno(),),
                    start_new_session=True,
                )
        except OSError as error:
            ours.close()
            raise WorkerError(f"a measuring worker could not be started: {error}") from error
        return Nursery(ours)


def _environment(cores: int) -> dict[str, str]:
    source = str(Path(__file__).parents[2])
    inherited = os.environ.get("PYTHONPATH")
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(filter(None, (source, inherited))),
        "TVM_NUM_THREADS": str(cores),
        "TVM_BIND_THREADS": "0",
        "TVM_THREAD_POOL_SPIN_COUNT": str(SPIN_COUNT),
        "OPENBLAS_NUM_THREADS": "1",  # the only threads of a worker are those of what it measures
    }
