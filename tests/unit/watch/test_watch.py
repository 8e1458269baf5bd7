"""`flextune watch` as a process: asked by HTTP, and looked at in a browser while a run goes on."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

import flextune
from flextune.database.store import open_database
from flextune.testing.databases import example_decision, example_record, example_verdict

from .browser import CHROMIUM, WHY_NOT, Browser

pytestmark = pytest.mark.skipif(
    find_spec("starlette") is None or find_spec("uvicorn") is None, reason="needs starlette and uvicorn (extra `watch`)"
)
in_a_browser = pytest.mark.skipif(CHROMIUM is None, reason=WHY_NOT)

_PATHS = os.pathsep.join([str(Path(flextune.__file__).parents[1]), os.environ.get("PYTHONPATH", "")])
_ENVIRONMENT = {**os.environ, "PYTHONPATH": _PATHS}
_TUNED = ("gemm:m=64,n=64,k=64", "--target", "null:cpu=none,cores=1", "--trials", "24", "--cost-model", "none")


@contextmanager
def watching(folder: Path, port: int = 0, host: str = "127.0.0.1") -> Iterator[str]:
    """The address at which it answers."""
    command = [sys.executable, "-m", "flextune", "watch", "--db", "r.db", "--port", str(port), "--host", host]
    process = subprocess.Popen(command, cwd=folder, env=_ENVIRONMENT, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        address, _, rest = process.stdout.readline().partition(" ")
        assert rest == "shows r.db; Ctrl-C ends it\n"
        yield address
    finally:
        process.send_signal(2)
        assert process.wait(60) == 0


def get(address: str, method: str = "GET", host: str = "") -> tuple[int, str]:
    request = urllib.request.Request(address, method=method, headers={"Host": host} if host else {})
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def events(address: str) -> Iterator[tuple[str, str]]:
    """Names and data of what the server sends, which are awaited for two minutes in all."""
    deadline = time.monotonic() + 120
    with urllib.request.urlopen(f"{address}events", timeout=60) as stream:
        name = ""
        for line in stream:
            assert time.monotonic() < deadline, "what is awaited does not come"
            field, _, value = line.decode().rstrip("\n").partition(": ")
            if field == "event":
                name = value
            elif field == "data":
                yield name, value


def next_state(stream: Iterator[tuple[str, str]]) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(next(data for name, data in stream if name == "state"))
    return found


def test_records_arrive_while_it_runs(tmp_path: Path) -> None:
    with watching(tmp_path) as address:
        stream = events(address)
        assert "0 trials of 0 tasks" in next_state(stream)["note"]
        assert next(data for name, data in stream if name == "lately").startswith("r.db is not there yet")
        assert not (tmp_path / "r.db").exists()
        with open_database(tmp_path / "r.db") as database:
            for tile in (1, 2):
                database.commit(example_record(tile, 0.5 / tile))
                while f"{tile} trials of 1 tasks" not in (state := next_state(stream))["note"]:
                    pass
        assert "gemm m=64 n=64 k=64" in state["main"]
        assert set(state["figures"]) >= {"search"}
        code, page = get(address)
        assert code == 200
        assert "connect-src &#x27;self&#x27;" in page
        assert 'data-live="/events"' in page


def test_what_it_refuses(tmp_path: Path) -> None:
    with open_database(tmp_path / "r.db") as database:
        database.commit(example_record(1))
        database.decide([example_verdict("v"), example_decision("g", "fused")])
    with watching(tmp_path) as address:
        code, page = get(f"{address}?about=%3Cscript%3Enothing")
        assert code == 404
        assert "&lt;script&gt;nothing" in page
        assert "<script>" not in page
        assert get(f"{address}events?about=nothing")[0] == 404
        assert get(f"{address}?about=net")[0] == 200
        for method in ("POST", "PUT", "DELETE"):
            assert get(address, method)[0] == 405
        assert get(address, host="elsewhere.example")[0] == 400  # a page of another site, by a name that leads here
        assert get(f"{address}r.db")[0] == 404
        with watching(tmp_path, host="localhost") as other:
            assert (get(other)[0], get(other, host="elsewhere.example")[0]) == (200, 400)
        port = int(address.rstrip("/").rpartition(":")[2])
        taken = subprocess.run(
            [sys.executable, "-m", "flextune", "watch", "--db", "r.db", "--port", str(port)],
            cwd=tmp_path,
            env=_ENVIRONMENT,
            capture_output=True,
            text=True,
            check=False,
        )
        assert taken.returncode == 2
        assert "choose another with --port" in taken.stderr


@pytest.mark.slow
@in_a_browser
def test_a_run_in_a_browser(tmp_path: Path) -> None:
    """Starts before there is a database, sees a run begin and end, the server go and come back, and loses nothing."""
    with Browser(tmp_path / "profile") as browser:
        with watching(tmp_path) as address:
            port = int(address.rstrip("/").rpartition(":")[2])
            browser.open(address)
            browser.wait("document.getElementById('live')?.textContent.startsWith('r.db is not there yet')")
            tuned = subprocess.Popen(
                [sys.executable, "-m", "flextune", "tune", *_TUNED, "--db", "r.db"],
                cwd=tmp_path,
                env=_ENVIRONMENT,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            browser.wait("document.querySelector('#outcome details')")
            browser.value("document.querySelector('#outcome details').open = true")
            assert tuned.wait(120) == 0
            browser.wait("document.getElementById('note').textContent.includes('24 trials of 1 tasks')")
            assert browser.value("document.querySelector('#outcome details').open")
            browser.wait("document.documentElement.dataset.drawn >= 1")
            assert browser.value("document.documentElement.dataset.failed") is None
            assert browser.value("document.querySelector('[data-figure=search]').data[0].x.length") >= 2
            assert browser.problems == []
        browser.wait("document.getElementById('live').textContent.includes('does not answer')")
        with open_database(tmp_path / "r.db") as database:
            database.commit(example_record(1))
        before = browser.value("Number(document.documentElement.dataset.updates)")
        with watching(tmp_path, port):
            browser.wait(f"Number(document.documentElement.dataset.updates) > {before}")
            browser.wait("document.getElementById('note').textContent.includes('25 trials of 2 tasks')")
        assert all("ERR_CONNECTION_REFUSED" in each or "ERR_INCOMPLETE" in each for each in browser.problems)
        assert len(list((tmp_path).glob("r.db*"))) <= 3
