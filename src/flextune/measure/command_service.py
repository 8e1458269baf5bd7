"""Runs command lines in a process of its own, from which they start quickly and to which all that they start is known.

A worker that serves this is ended with all that its commands left behind, whatever becomes of the process that asked.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Any

from flextune.lifetime import die_with_parent
from flextune.measure.ending import Ending
from flextune.measure.process_limits import adopt_orphans, end_children
from flextune.measure.watch import ProcessWatch, RunLimits, kill_group
from flextune.measure.wire import Message

if sys.platform != "win32":
    import resource

FOLDER_TEXT = "\0folder\0"
"""Stands in the words of a request for the folder that the service makes; no word of a command can hold it."""

_OUTPUT_BYTES = 1 << 20
_FILE_BYTES = 1 << 30


class CommandService:
    """One process after the other; a request has the `action` of opening or closing a trial's folder, or of running."""

    def __init__(self, options: str, cores: int) -> None:
        del options, cores
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        adopt_orphans()

    @staticmethod
    def preload(what: str) -> None:
        """Nothing: a command brings what it needs."""

    def answer(self, request: Message) -> dict[str, Any]:
        if request["action"] == "open":
            self._folder = tempfile.TemporaryDirectory(prefix="trial-", ignore_cleanup_errors=True)
        elif request["action"] == "close" and self._folder is not None:
            self._folder.cleanup()
            self._folder = None
        elif request["action"] == "run":
            return self._run(request)
        return {}

    def _run(self, request: Message) -> dict[str, Any]:
        folder = "" if self._folder is None else self._folder.name
        words = [word.replace(FOLDER_TEXT, folder) for word in request["words"]]
        environment = {name: text.replace(FOLDER_TEXT, folder) for name, text in request["environment"].items()}
        with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
            started = time.perf_counter()
            try:
                process = _started(words, request["working_folder"], environment, output, errors)
            except (OSError, ValueError, subprocess.SubprocessError) as error:
                return {"ending": "", "error": f"{words[0]!r} cannot be run: {error}"}
            limits = RunLimits(request["timeout_secs"], request["memory_bytes"])
            with _all_of(process):
                ending, secs = _waited(process, limits, started)
            return {
                "ending": ending.value,
                "error": "",
                "secs": secs,
                "code": process.returncode,
                "output": _tail(output),
                "errors": _tail(errors),
            }


def _started(
    words: list[str], folder: str, environment: dict[str, str], output: IO[bytes], errors: IO[bytes]
) -> subprocess.Popen[bytes]:
    parent = os.getpid()
    return subprocess.Popen(
        words,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=errors,
        cwd=folder,
        env=environment,
        start_new_session=True,
        preexec_fn=lambda: _prepare(parent),
    )


def _prepare(parent: int) -> None:
    """In the new process: it ends with its parent, leaves no core files, and fills no disk."""
    die_with_parent(parent)
    for kind, most in ((resource.RLIMIT_CORE, 0), (resource.RLIMIT_FSIZE, _FILE_BYTES)):
        hard = resource.getrlimit(kind)[1]
        resource.setrlimit(kind, (most if hard == resource.RLIM_INFINITY else min(most, hard), hard))


def _waited(process: subprocess.Popen[bytes], limits: RunLimits, started: float) -> tuple[Ending, float]:
    watch = ProcessWatch(process.pid, limits)
    try:
        ending = watch.wait()
        return ending, time.perf_counter() - started
    finally:
        watch.close()


@contextmanager
def _all_of(process: subprocess.Popen[bytes]) -> Iterator[None]:
    """At the end the process is gone, and all that it started, in whatever session that is."""
    try:
        yield
    finally:
        kill_group(process.pid)
        process.wait()
        end_children()


def _tail(file: IO[bytes]) -> str:
    end = file.seek(0, os.SEEK_END)
    file.seek(max(0, end - _OUTPUT_BYTES))
    return file.read().decode(errors="replace")
