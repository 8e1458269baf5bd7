"""The command as a user runs it: own processes, kills, Ctrl-C, a full disk, and the way from a model to a library."""

from __future__ import annotations

import json
import os
import resource
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from flextune.database.store import open_database
from flextune.trial.record import Evidence

COMMAND = [sys.executable, "-m", "flextune"]
NULL = "null:cpu=none,cores=1"
GEMM = "gemm:m=512,n=512,k=512,dtype=float32"
SLOW_GEMM = (GEMM, "--target", NULL, "--strategy", "random", "--trials", "270", "--db", "r.db", "--json")


def flextune(
    folder: Path, *arguments: str, prepare: Callable[[], None] | None = None
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *arguments], cwd=folder, capture_output=True, text=True, timeout=240, check=False, preexec_fn=prepare
    )


def started(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    """The command in a session of its own, with Ctrl-C as in the foreground: shells let the background ignore it."""
    options = {
        "stdout": subprocess.PIPE,
        "stderr": subprocess.PIPE,
        "preexec_fn": lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    }
    return subprocess.Popen([*COMMAND, *arguments], cwd=folder, text=True, start_new_session=True, **options)  # type: ignore[call-overload]


def recorded(folder: Path) -> int:
    """Rows in the records file; 0 while there is none."""
    if not (folder / "r.db").exists():
        return 0
    with sqlite3.connect(folder / "r.db") as connection:
        try:
            return int(connection.execute("SELECT count(*) FROM trials").fetchone()[0])
        except sqlite3.OperationalError:
            return 0


def wait_for_records(folder: Path, count: int, process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 120
    while recorded(folder) < count:
        assert process.poll() is None, f"ended before {count} records: {process.communicate()}"
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.slow
def test_killed_runs_lose_nothing_and_measure_nothing_twice(tmp_path: Path) -> None:
    known = 0
    for more in (5, 40):
        process = started(tmp_path, "tune", *SLOW_GEMM, "--strategy", "random")
        wait_for_records(tmp_path, known + more, process)
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        with sqlite3.connect(tmp_path / "r.db") as connection:
            assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert recorded(tmp_path) >= known + more
        known = recorded(tmp_path)
    done = flextune(tmp_path, "tune", *SLOW_GEMM, "--strategy", "random")
    assert done.returncode == 0, done.stderr
    with open_database(tmp_path / "r.db") as database:
        keys = [record.key for record in database.records() if record.evidence is Evidence.TRIAL]
    assert len(keys) == len(set(keys)) == json.loads(done.stdout)["trials"] == 270


def test_control_c_keeps_the_records_and_the_result_so_far(tmp_path: Path) -> None:
    process = started(tmp_path, "tune", *SLOW_GEMM, "--strategy", "random")
    wait_for_records(tmp_path, 3, process)
    os.killpg(process.pid, signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "Traceback" not in err
    last = err.splitlines()[-1]
    assert last.startswith("flextune: interrupted; all ")
    assert "are kept in r.db: the same command goes on from there" in last
    assert abs(json.loads(out)["trials"] - recorded(tmp_path)) <= 1
    with pytest.raises(ProcessLookupError):
        os.killpg(process.pid, 0)


@pytest.mark.slow
def test_a_full_disk_is_one_line_and_the_records_stay(tmp_path: Path) -> None:
    def limit_files() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))

    command = ("tune", "gemm:m=16,n=16,k=16", *SLOW_GEMM[1:])
    done = flextune(tmp_path, *command, prepare=limit_files)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "r.db" in done.stderr.splitlines()[-1]
    before = recorded(tmp_path)
    assert before > 0
    done = flextune(tmp_path, *command)
    assert done.returncode == 0, done.stderr
    assert recorded(tmp_path) > before


@pytest.mark.hardware("x86")
def test_tune_show_and_replay_on_this_machine(tmp_path: Path) -> None:
    done = flextune(tmp_path, "tune", "gemm:m=64,n=64,k=64", "--trials", "6", "--db", "r.db", "--json")
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["trials"] == 6
    assert 0 < result["best_secs"] <= result["default_secs"]
    assert 0 < result["fraction_of_peak"] < 2
    shown = json.loads(flextune(tmp_path, "show", "--db", "r.db", "--json").stdout)["workloads"][0]
    assert shown["best"]["secs"] == result["best_secs"]
    replayed = flextune(tmp_path, "replay", shown["best"]["id"], "--db", "r.db", "--json")
    assert replayed.returncode == 0, replayed.stderr
    assert json.loads(replayed.stdout)["status"] == "ok"


@pytest.mark.slow
@pytest.mark.hardware("x86")
def test_a_heron_configuration_leaves_four_files_and_can_be_replayed(tmp_path: Path) -> None:
    example = json.loads((Path(__file__).parents[2] / "examples/heron/quick_start.json").read_text())
    example["config"]["cases"] = {"G1": ["gemm", [64, 64, 64]], "V1": ["gemv", [64, 64]]}
    (tmp_path / "c.json").write_text(json.dumps(example))
    done = flextune(tmp_path, "run", "-p", "dlboost", "-c", "c.json", "-m", "3", "--json")
    assert done.returncode == 0, done.stderr
    cases = json.loads(done.stdout)["cases"]
    assert [case["case"] for case in cases] == ["G1", "V1"]
    for case in cases:
        assert case["trials"] <= 3
        folder = tmp_path / "heron-out" / case["case"]
        assert {file.name for file in folder.iterdir()} == {
            "records.jsonl",
            "stat.csv",
            "schedule.py",
            "constraints.json",
        }
        assert "sch." in (folder / "schedule.py").read_text()
        assert len((folder / "stat.csv").read_text().splitlines()) >= 2
        assert json.loads((folder / "constraints.json").read_text())["problem"]
    config = json.loads((tmp_path / "c.json").read_text())
    del config["config"]["cases"]["V1"]
    (tmp_path / "one.json").write_text(json.dumps(config))
    replayed = flextune(tmp_path, "run", "-c", "one.json", "-t", "heron-out/G1/records.jsonl", "--json")
    assert replayed.returncode == 0, replayed.stderr
    assert json.loads(replayed.stdout)["cases"][0]["secs"] > 0


def small_model(path: Path) -> None:
    """conv - relu - conv, 8 channels, random weights."""
    rng = np.random.default_rng(0)
    weights = [numpy_helper.from_array(rng.standard_normal((8, 8, 3, 3)).astype(np.float32), f"w{i}") for i in (1, 2)]
    nodes = [
        helper.make_node("Conv", ["x", "w1"], ["a"], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["a"], ["b"]),
        helper.make_node("Conv", ["b", "w2"], ["y"], pads=[1, 1, 1, 1]),
    ]
    shape = [1, 8, 16, 16]
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name in ("x", "y")]
    graph = helper.make_graph(nodes, "small", values[:1], values[1:], weights)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), str(path))


@pytest.mark.slow
@pytest.mark.hardware("x86")
def test_from_a_model_to_a_library(tmp_path: Path) -> None:
    small_model(tmp_path / "small.onnx")
    tuned = flextune(tmp_path, "tune", "small.onnx", "--trials", "8", "--db", "r.db", "--json")
    assert tuned.returncode == 0, tuned.stderr
    result = json.loads(tuned.stdout)
    assert result["trials"] == sum(task["trials"] for task in result["tasks"]) == 8
    assert result["tuned_secs"] > 0
    assert sum(task["share"] for task in result["tasks"]) == pytest.approx(1)
    built = flextune(tmp_path, "compile", "small.onnx", "-o", "small.so", "--db", "r.db", "--json")
    assert built.returncode == 0, built.stderr
    origins = [task["origin"] for task in json.loads(built.stdout)["tasks"]]
    assert set(origins) <= {"tuned", "default"}  # which of them is faster is the machine's affair
    script = """
import flextune, numpy as np, onnxruntime
executable = flextune.load("small.so")
inputs = executable.random_inputs(1)
session = onnxruntime.InferenceSession("small.onnx", providers=["CPUExecutionProvider"])
np.testing.assert_allclose(executable.run(inputs)["y"], session.run(None, inputs)[0], rtol=1e-3, atol=1e-4)
"""
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
