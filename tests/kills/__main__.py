"""`python -m tests.kills --rounds N`: signals at random moments, to everything that takes time.

Each job is begun N times, where it was ended before, and gets SIGINT, SIGTERM, SIGHUP or SIGKILL, alone or with its
whole group as from a terminal. Ten seconds later there must be no process of it, and no folder; after SIGKILL the next
start removes the folders. What was reported as stored must be there, and whole. At last it runs to its end.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from flextune.errors import FlextuneError
from tests.kills.jobs import JOBS, ROOT, Job

MARK = "FLEXTUNE_KILLS"
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGKILL)
_RUNS_WITHIN_SECS = 300.0
_ABANDONED_SECS = 2.5
"""After so long a folder that has no lock yet, or none any more, is known as abandoned."""


@dataclass(frozen=True, slots=True)
class Kill:
    """A signal, when it comes after the start, and whether the whole group gets it."""

    number: signal.Signals
    after_secs: float
    to_group: bool

    def __str__(self) -> str:
        return f"{self.number.name} to {'the group' if self.to_group else 'the process'} after {self.after_secs:.2f} s"


_OTHERS = frozenset({".ses"})
"""Files that libraries keep among temporary ones: ONNX Runtime's."""


class Killer:
    """Kills one job; what it finds is text."""

    def __init__(self, job: Job, scratch: Path, seed: int, within_secs: float) -> None:
        self._job = job
        self._scratch = scratch
        self._scratch.mkdir()
        self._output = scratch.with_suffix(".txt")
        self._rng = random.Random(f"{seed} {type(job).__name__}")
        self._within_secs = within_secs
        self._mark = f"{os.getpid()}-{type(job).__name__}"
        self._stored = 0
        self._reported = 0
        self.signals: Counter[str] = Counter()
        self.findings: list[str] = []

    def run(self, rounds: int) -> None:
        """One run to its end, for how long that takes; the kills; and a last run."""
        secs = self._to_the_end()
        for _ in range(rounds):
            after_secs = secs * self._rng.random()
            self._kill(Kill(self._rng.choice(_SIGNALS), after_secs, self._rng.random() < 0.5))
        time.sleep(_ABANDONED_SECS)
        self._to_the_end()
        self._check("at the end", self._job.check_complete)
        if left := [name for name in os.listdir(self._scratch) if name not in _OTHERS]:
            self.findings.append(f"at the end: {left} in the temporary folder")

    def _kill(self, kill: Kill) -> None:
        with self._output.open("w") as output:
            process = self._started(output)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(kill.after_secs)
            self.signals[kill.number.name if process.poll() is None else "ended before"] += 1
            with contextlib.suppress(ProcessLookupError):
                (os.killpg if kill.to_group else os.kill)(process.pid, kill.number)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(self._within_secs)
        left = self._left_after(self._within_secs, folders=kill.number not in self._job.leaves)
        if left:
            self.findings.append(f"{kill}: {len(left)} are left: {'; '.join(left[:5])}")
        for pid in self._processes():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        process.wait()
        self._check(str(kill), self._check_stored)

    def _to_the_end(self) -> float:
        began = time.monotonic()
        with self._output.open("w") as output:
            process = self._started(output)
            try:
                code = process.wait(_RUNS_WITHIN_SECS)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                code = process.wait()
        secs = time.monotonic() - began
        if code:
            self.findings.append(f"a run ended with {code}: {self._output.read_text()[-600:]}")
        self._check("a whole run", self._check_stored)
        return secs

    def _started(self, output: IO[str]) -> subprocess.Popen[bytes]:
        environment = {**os.environ, MARK: self._mark, "TMPDIR": str(self._scratch), "PYTHONPATH": f"{ROOT / 'src'}"}
        return subprocess.Popen(
            self._job.command,
            cwd=self._job.folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    def _left_after(self, secs: float, folders: bool) -> list[str]:
        deadline = time.monotonic() + secs
        while (left := self._left(folders)) and time.monotonic() < deadline:
            time.sleep(0.1)
        return left

    def _left(self, folders: bool) -> list[str]:
        found = [f"process {pid} ({_command_of(pid)}) is left" for pid in self._processes()]
        return [*found, *(f"{name} is left" for name in os.listdir(self._scratch) if folders and name not in _OTHERS)]

    def _processes(self) -> list[int]:
        """Of this job, by a variable of the environment, which all inherit."""
        wanted = f"{MARK}={self._mark}".encode()
        found = []
        for path in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if wanted in (path / "environ").read_bytes().split(b"\0"):
                    found.append(int(path.name))
        return found

    def _check_stored(self) -> None:
        self._reported += self._job.reported(self._output.read_text())
        stored, least = self._job.stored(), max(self._stored, self._reported)
        assert stored >= least, f"{stored} are stored, and there were {self._stored} and {self._reported} reported"
        self._stored = stored

    def _check(self, when: str, check: Callable[[], None]) -> None:
        try:
            check()
        except subprocess.CalledProcessError as error:
            self.findings.append(f"{when}: {error}: {error.stderr.decode()[-300:]}")
        except (AssertionError, FlextuneError, sqlite3.Error) as error:
            self.findings.append(f"{when}: {error}")


def _command_of(pid: int) -> str:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")[:100]
    return "?"


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.kills", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", nargs="*", choices=list(JOBS), default=list(JOBS))
    parser.add_argument("--within", type=float, default=10.0, metavar="SECS", help="nothing may be left after so long")
    options = parser.parse_args(arguments)
    findings = 0
    for name in options.only:
        with tempfile.TemporaryDirectory(prefix="kills-") as folder:
            killer = Killer(JOBS[name](Path(folder) / name), Path(folder) / "tmp", options.seed, options.within)
            killer.run(options.rounds)
        print(
            f"{name}: {dict(killer.signals)}, {len(killer.findings)} findings", *killer.findings, sep="\n  ", flush=True
        )
        findings += len(killer.findings)
    return int(bool(findings))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
