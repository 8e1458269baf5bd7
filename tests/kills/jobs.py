"""What is killed: a model's tuning, a search of `minimize`, and a compilation, each of a few seconds."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import textwrap
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Collection
from pathlib import Path

import numpy as np
from onnx import TensorProto, helper, numpy_helper, save

from flextune.database.store import open_database
from flextune.trial.record import Evidence

ROOT = Path(__file__).parents[2]
FLEXTUNE = [sys.executable, "-m", "flextune"]


def small_model(path: Path) -> Path:
    """Two layers."""
    rng = np.random.default_rng(0)
    weights = {"w": rng.standard_normal((32, 48)), "m": rng.standard_normal((48, 8))}
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["h"]),
        helper.make_node("Relu", ["h"], ["r"]),
        helper.make_node("MatMul", ["r", "m"], ["y"]),
    ]
    values = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, [4, width]) for name, width in (("x", 32), ("y", 8))
    ]
    tensors = [numpy_helper.from_array(array.astype(np.float32), name) for name, array in weights.items()]
    graph = helper.make_graph(nodes, "small", values[:1], values[1:], tensors)
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


class Job(ABC):
    """A command that goes on where it was killed."""

    leaves: Collection[signal.Signals] = (signal.SIGKILL,)
    """Signals after which the next start removes its folders."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        self.prepare()

    @abstractmethod
    def prepare(self) -> None:
        """Make the files that the command reads."""

    @property
    @abstractmethod
    def command(self) -> list[str]: ...

    @abstractmethod
    def stored(self) -> int:
        """How much is stored; what is damaged is an `AssertionError`."""

    def reported(self, output: str) -> int:
        """How much a run has reported as stored."""
        del output
        return 0

    @abstractmethod
    def check_complete(self) -> None:
        """After a run to the end: an `AssertionError` for what was made twice, or is missing."""


class Tuning(Job):
    """`flextune tune MODEL`."""

    def prepare(self) -> None:
        small_model(self.folder / "small.onnx")

    @property
    def command(self) -> list[str]:
        return [*FLEXTUNE, "tune", "small.onnx", "--minutes", "0.15", "--db", "r.db"]

    def stored(self) -> int:
        return _records(self.folder / "r.db")

    def check_complete(self) -> None:
        _check_trials(self.folder / "r.db")


class Minimizing(Job):
    """`minimize` of a command with children of its own, two at a time, and of a function.

    In a program of somebody's, which does not catch what the command `flextune` catches.
    """

    leaves = (signal.SIGKILL, signal.SIGTERM, signal.SIGHUP)

    PROGRAM = textwrap.dedent(
        """
        import subprocess, sys, time
        from flextune.tuning.budget import Budget
        from flextune.tuning.minimize import minimize

        def function(x, y):
            subprocess.Popen(["sleep", "300"])
            subprocess.Popen(["sleep", "300"], start_new_session=True)
            time.sleep(0.02)
            return (x - 7) ** 2 + y

        tell = lambda trial: print("trial", flush=True)
        space = {"x": range(100), "y": range(100)}
        if __name__ == "__main__":
            words = ["sh", "-c", "sleep 300 & (setsid sleep 300 &) ; sleep 0.02; echo {x} {y}"]
            objective, options = (function, {}) if sys.argv[1] == "function" else (words, {"workers": 2})
            minimize(objective, space, Budget(minutes=0.1), "random", db="r.db", name=sys.argv[1], version="1",
                     on_trial=tell, timeout_secs=20, **options)
        """
    )

    def prepare(self) -> None:
        (self.folder / "program.py").write_text(self.PROGRAM)

    @property
    def command(self) -> list[str]:
        stored = self.stored()
        return [sys.executable, "program.py", "command" if stored % 2 else "function"]

    def stored(self) -> int:
        return _records(self.folder / "r.db")

    def reported(self, output: str) -> int:
        return output.count("trial\n")

    def check_complete(self) -> None:
        _check_trials(self.folder / "r.db")


class Compiling(Job):
    """`flextune compile MODEL`, over and over into the same file."""

    def prepare(self) -> None:
        small_model(self.folder / "small.onnx")

    @property
    def command(self) -> list[str]:
        return [*FLEXTUNE, "compile", "small.onnx", "-o", "small.so"]

    def stored(self) -> int:
        """1 once there is a library; whenever there is one, it works."""
        if not (self.folder / "small.so").exists():
            return 0
        program = "import flextune, numpy; flextune.load('small.so').run({'x': numpy.ones((4, 32), numpy.float32)})"
        subprocess.run([sys.executable, "-c", program], cwd=self.folder, check=True, capture_output=True, timeout=120)
        return 1

    def check_complete(self) -> None:
        assert self.stored() == 1
        assert sorted(os.listdir(self.folder)) == ["small.onnx", "small.so"]


JOBS = {"tune": Tuning, "minimize": Minimizing, "compile": Compiling}


def _records(path: Path) -> int:
    """Records in a database that is whole, or is not there yet."""
    if not path.exists():
        return 0
    with sqlite3.connect(path) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    with open_database(path) as database:
        return len(database.records())


def _check_trials(path: Path) -> None:
    with open_database(path) as database:
        tried = Counter(record.key for record in database.records() if record.evidence is Evidence.TRIAL)
    twice = [key for key, count in tried.items() if count > 1]
    assert not twice, f"{len(twice)} of {len(tried)} configurations were tried more than once"
