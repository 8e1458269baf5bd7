"""The view of a run in a notebook's cell: one output that is replaced, whatever the names of tasks hold."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import pytest

import flextune
from flextune.errors import EnvironmentFault
from flextune.tuning.budget import Budget
from flextune.tuning.events import Phase, PhaseBegan, TaskOpened
from tests.unit.cli.test_live import trial


class Clock:
    """Stands still until it is told to go on."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def published() -> Iterator[list[dict[str, Any]]]:
    """What IPython sends to the notebook: data by type, and whether it replaces an earlier output."""
    pytest.importorskip("IPython", reason="needs IPython: pip install ipython")
    from IPython.core.displaypub import CapturingDisplayPublisher
    from IPython.core.interactiveshell import InteractiveShell

    shell = InteractiveShell.instance()
    before, shell.display_pub = shell.display_pub, CapturingDisplayPublisher()
    yield shell.display_pub.outputs
    shell.display_pub = before
    InteractiveShell.clear_instance()


def test_one_output_is_replaced_twice_a_second_and_at_the_end(published: list[dict[str, Any]]) -> None:
    clock = Clock()
    with flextune.NotebookView(Budget(trials=64), "squeezenet", clock) as view:
        view(PhaseBegan(Phase.TRIALS))
        view(TaskOpened("a", 100, 0, 0.5))
        for number in range(1, 9):
            clock.now += 0.125
            view(trial(number, 0.25))
        view(trial(9, None, "boom <script>alert(1)</script>", 0.25))
    assert [each["update"] for each in published] == [False, True, True, True]
    assert len({each["transient"]["display_id"] for each in published}) == 1
    last = published[-1]["data"]["text/html"]
    for text in ("squeezenet", "9/64 trials", "1 failed", "best 250 ms", "[trials]"):
        assert text in last
    assert "<script" not in last
    assert "&lt;script&gt;" in last


def test_a_real_run_ends_with_all_its_trials(published: list[dict[str, Any]], tmp_path: Any) -> None:
    with flextune.NotebookView(Budget(trials=5)) as view:
        flextune.tune(
            "gemm:m=8,n=8,k=8",
            5,
            database=str(tmp_path / "r.db"),
            target="null:cpu=none,cores=1",
            search=flextune.SearchOptions(strategy="random", cost_model="none"),
            on_progress=view,
        )
    assert "5/5 trials" in published[-1]["data"]["text/html"]


def test_without_ipython_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "IPython.display", None)
    with pytest.raises(EnvironmentFault, match="pip install ipython"):
        flextune.NotebookView(Budget(trials=3))
