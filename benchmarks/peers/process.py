"""The runner's side of a peer's process, and of the programs that tune for it."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol

import flextune
from benchmarks.peers.call import Job
from benchmarks.peers.catalog import Peer
from flextune.errors import FlextuneError

_ROOT = Path(__file__).parents[2]
_WITHOUT_TORCH = Path(__file__).parent / "without_torch"
_THREAD_SETTINGS = ("OMP_", "GOMP_", "KMP_", "MKL_", "OPENBLAS_", "DNNL_", "ONEDNN_", "TVM_", "TORCH_", "ATEN_", "ORT_")
_REPLY_TIMEOUT_SECS = 300.0
_TAIL_CHARACTERS = 400


class PeerError(FlextuneError):
    """A peer's process ended, hung, or could not do what it was asked."""


def environment(threads: int, without_torch: bool, inherited: Mapping[str, str] = os.environ) -> dict[str, str]:
    """The caller's environment with the same number of threads for every library and no other setting of theirs.

    TVM's own binding of threads to cores is off, for its tuner's workers too: it would leave the calling thread free
    to meet a bound one on its core, at half the speed for both.
    """
    kept = {name: value for name, value in inherited.items() if not name.startswith(_THREAD_SETTINGS)}
    counts = dict.fromkeys(
        ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "TVM_NUM_THREADS"), str(threads)
    )
    paths = [str(_WITHOUT_TORCH)] if without_torch else []
    paths += [str(_ROOT), str(Path(flextune.__file__).parents[1]), *filter(None, [inherited.get("PYTHONPATH")])]
    return {**kept, **counts, "TVM_BIND_THREADS": "0", "PYTHONPATH": os.pathsep.join(paths)}


class Served(Protocol):
    """What a peer's process needs to know of its job; the rest it reads from the folder."""

    @property
    def folder(self) -> str: ...

    @property
    def threads(self) -> int: ...


class PeerProcess:
    """One peer at one case; asks are answered one at a time. Close it: its threads and children end with it.

    `server` is the program that answers.
    """

    def __init__(self, peer: Peer, job: Served, server: str = "benchmarks.peers.server") -> None:
        self.peer = peer
        self._log = Path(job.folder) / f"{peer.name}.log"
        command = [sys.executable, "-m", server, peer.name, job.folder, str(os.getpid())]
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                bufsize=1,
                env=environment(job.threads, peer.on_tvm),
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        return self._process.pid

    def ask(self, request: str, timeout_secs: float = _REPLY_TIMEOUT_SECS) -> dict[str, Any]:
        """The reply. Raises `PeerError` when there is none."""
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None
        assert stdout is not None
        with suppress(BrokenPipeError):
            stdin.write(request + "\n")
            stdin.flush()
        ready, _, _ = select.select([stdout], [], [], timeout_secs)
        if not ready:
            raise PeerError(f"no answer to {request} within {timeout_secs:g} s")
        line = stdout.readline()
        if not line:
            code = self._process.wait()
            raise PeerError(f"its process ended with status {code} on {request}: {tail(self._log)}")
        reply: dict[str, Any] = json.loads(line)
        if "failed" in reply:
            raise PeerError(str(reply["failed"]))
        return reply

    def close(self) -> None:
        """End the process and all it started."""
        end_process(self._process)
        for pipe in (self._process.stdin, self._process.stdout):
            with suppress(BrokenPipeError):
                if pipe is not None:
                    pipe.close()


def tune(peer: Peer, job: Job, timeout_secs: float) -> dict[str, Any]:
    """Runs the peer's tuner, which leaves its result in the case's folder; returns its `trials`, and its time.

    `process_secs` is what a user waits for: from the start of the process to its end. `secs` begins when its libraries
    are loaded. The times of its `progress`, if it tells any, count from the start of the process, too.

    Raises `PeerError` when it fails or takes longer than allowed.
    """
    command = [sys.executable, "-m", peer.tuner, job.folder]
    lines, process_secs = run_program(
        command, job.path / f"{peer.name}-tuning", environment(job.threads, peer.on_tvm), timeout_secs
    )
    if not lines:
        raise PeerError("its tuner ended without a result")
    found: dict[str, Any] = json.loads(lines[-1])
    outside_secs = process_secs - found.get("main_secs", process_secs)
    progress = [(secs + outside_secs, best_secs) for secs, best_secs in found.get("progress", ())]
    return {**found, "progress": progress, "process_secs": process_secs}


def run_program(
    command: Sequence[str], stem: Path, variables: Mapping[str, str], timeout_secs: float
) -> tuple[list[str], float]:
    """Runs a program to its end: the lines it printed, and the seconds from its start to its end.

    `stem` is the path of its log and its output without their suffixes. Raises `PeerError` when it fails or takes
    longer than allowed.
    """
    log_path = stem.with_name(stem.name + ".log")
    with log_path.open("w+") as log, stem.with_name(stem.name + ".out").open("w+") as output:
        started = time.perf_counter()
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=log, env=variables, start_new_session=True
        )
        try:
            code = process.wait(timeout_secs)
            secs = time.perf_counter() - started
        except subprocess.TimeoutExpired:
            raise PeerError(f"{stem.name} was not done after {timeout_secs:g} s") from None
        finally:
            end_process(process)
        output.seek(0)
        lines = output.read().strip().splitlines()
    if code != 0:
        raise PeerError(f"{stem.name} ended with status {code}: {tail(log_path)}")
    return lines, secs


def end_process(process: subprocess.Popen[Any]) -> None:
    """Kills the process's whole group and waits until it is gone."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    time.sleep(0.01)


def tail(path: Path) -> str:
    text = path.read_text(errors="replace").strip()
    return text[-_TAIL_CHARACTERS:] or "it said nothing"
