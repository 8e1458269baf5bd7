"""`flextune report`: what is written, about what, and what is said where there is nothing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from flextune.database.store import open_database
from flextune.testing.databases import example_decision, example_record, example_verdict
from flextune.trial.decision import GroupDecision
from tests.unit.report.pages import Reader

Run = Callable[..., tuple[int, str, str]]
GEMM = "gemm:m=64,n=64,k=64,dtype=float32"


def fill(path: Path) -> GroupDecision:
    """Two tasks, one of them the fused kernel of the model `net`."""
    group = example_decision("g", "fused")
    kernel = group.alternatives[0].workloads[0]
    with open_database(path) as database:
        database.commit_all([example_record(1, 0.5), example_record(2, 0.25)])
        database.commit_all([example_record(4, 0.125, workload_key=kernel, target_key="here")])
        database.decide([group, example_verdict("v")])
    return group


def test_everything_is_in_one_file(run: Run, tmp_path: Path) -> None:
    fill(tmp_path / "r.db")
    code, out, _ = run("report", "--db", "r.db", "-o", "page.html")
    assert code == 0
    assert out.startswith("page.html: 3 trials of 2 tasks")
    reader = Reader((tmp_path / "page.html").read_text(encoding="utf-8"))
    assert "3 trials of 2 tasks, 2 decisions" in reader.visible


@pytest.mark.parametrize("about", [GEMM, "gemm:k=64,m=64,n=64", "gemm m=64 n=64 k=64"])
def test_of_a_workload_by_text_or_name(run: Run, tmp_path: Path, about: str) -> None:
    fill(tmp_path / "r.db")
    code, out, _ = run("report", about, "--db", "r.db")
    assert code == 0
    assert "3 trials of 2 tasks" in out or "2 trials of 1 tasks" in out


@pytest.mark.parametrize("about", ["net", "some/folder/net.onnx"])
def test_of_a_model_by_name_or_file(run: Run, tmp_path: Path, about: str) -> None:
    fill(tmp_path / "r.db")
    code, out, _ = run("report", about, "--db", "r.db")
    assert code == 0
    assert "1 trials of 1 tasks" in out
    reader = Reader((tmp_path / "report.html").read_text(encoding="utf-8"))
    assert "1.33" in reader.visible


def test_of_a_key_of_a_record_a_workload_or_a_decision(run: Run, tmp_path: Path) -> None:
    group = fill(tmp_path / "r.db")
    for about in (example_record(2).key, example_record(2).workload_key):
        assert "2 trials of 1 tasks" in run("report", about, "--db", "r.db")[1]
    assert "1 trials of 1 tasks" in run("report", group.key, "--db", "r.db")[1]


@pytest.mark.parametrize("about", ["ffffffffffff", "no-model", "gemm:m=1,n=1,k=1", "gemm:m=oops", "", "a/b.onnx"])
def test_what_is_not_there_is_said_in_one_line(run: Run, tmp_path: Path, about: str) -> None:
    fill(tmp_path / "r.db")
    code, out, err = run("report", about, "--db", "r.db")
    assert (code, out) == (2, "")
    assert "no records of" in err
    assert len(err.splitlines()) == 1
    assert not (tmp_path / "report.html").exists()


def test_without_records_or_a_database(run: Run, tmp_path: Path) -> None:
    assert "no such file" in run("report", "--db", "none.db")[2]
    assert not (tmp_path / "none.db").exists()
    open_database(tmp_path / "r.db").close()
    code, _, err = run("report", "--db", "r.db")
    assert code == 2
    assert "holds no records yet" in err


def test_the_database_is_never_overwritten(run: Run, tmp_path: Path) -> None:
    fill(tmp_path / "r.db")
    code, _, err = run("report", "--db", "r.db", "-o", "r.db")
    assert code == 2
    assert "it is what is read" in err
    assert "expected a file in an existing folder" in run("report", "--db", "r.db", "-o", "no/such/folder.html")[2]
