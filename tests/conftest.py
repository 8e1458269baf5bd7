"""Shared by all tests.

`@pytest.mark.hardware("avx512")` skips where this host is not x86 or lacks the feature, `@pytest.mark.emulator("arm")`
where what compiles and emulates programs for targets of that kind is not installed. Property tests draw the same
examples each time and have no deadline: a busy machine must not fail them. Texts that the fixture `golden` compares lie
in tests/golden; `pytest --update-golden` writes them anew.
"""

from __future__ import annotations

import gc
import inspect
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings

from flextune.errors import EnvironmentFault

if TYPE_CHECKING:
    from flextune.testing.postgres import PostgresServer

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # small matrices in parallel tests: threads would only spin
gc.disable()  # until all tests are collected

settings.register_profile("flextune", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("flextune")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update-golden", action="store_true", help="write the texts in tests/golden anew")
    parser.addoption("--onnx", metavar="REGEX", help="run ONNX's backend tests whose name has this in it")


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Callable[[str, str], None]:
    """`golden(name, text)` asserts that tests/golden/NAME holds the text."""

    def check(name: str, text: str) -> None:
        path = Path(__file__).parent / "golden" / name
        if request.config.getoption("--update-golden"):
            path.write_text(text, encoding="utf-8")
        expected = path.read_text(encoding="utf-8") if path.exists() else "(no such file)"
        assert text == expected, f"{path} differs; if the new text is right, run pytest --update-golden"

    return check


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """A PostgreSQL server of these tests alone; skips where none can be started."""
    from flextune.testing.postgres import PostgresServer, why_no_server

    if missing := why_no_server():
        pytest.skip(missing)
    with PostgresServer() as server:
        yield server


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """One of the processes that share the tests runs all that need PyTorch, or a server: these take seconds."""
    for item in items:
        for name in ("torch", "postgres"):
            if name in getattr(item, "fixturenames", ()):
                item.add_marker(pytest.mark.xdist_group(name))


def pytest_collection_finish() -> None:
    """What is loaded by now stays until the end: looking through it for garbage, over and over, took a tenth of all."""
    gc.freeze()
    gc.set_threshold(10_000, 20, 20)
    gc.enable()


def _frames(context: int = 1) -> list[inspect.FrameInfo]:
    """As `inspect.stack`, without reading the source of every frame.

    TVM's parser calls that for each function, for the frames alone, and reading takes half a second.
    """
    del context
    found = []
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        code = frame.f_code
        found.append(inspect.FrameInfo(frame, code.co_filename, frame.f_lineno, code.co_name, None, None))
        frame = frame.f_back
    return found


inspect.stack = _frames


def pytest_runtest_setup(item: pytest.Item) -> None:
    for marker in item.iter_markers("hardware"):
        missing = [feature for feature in marker.args if feature not in _host_features()]
        if missing:
            pytest.skip(f"this host lacks {' and '.join(missing)}")

    for marker in item.iter_markers("emulator"):
        missing = [fault for kind in marker.args for fault in _missing(kind)]
        if missing:
            pytest.skip("; ".join(missing))


def _missing(kind: str) -> list[str]:
    """What this machine lacks to run programs for targets of a kind, and how to get it."""
    from flextune.target import kinds

    needs = kinds.host_support(kinds.get(kind)).needs()
    return [f"{need.name} is not installed: {need.how}" for need in needs if not need.found]


def _host_features() -> tuple[str, ...]:
    from flextune.target.detect import detect

    try:
        return ("x86", *detect().features)
    except EnvironmentFault:
        return ()
