"""Exit codes, one-line errors, and what help costs."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from flextune.cli.main import describe
from flextune.database.store import open_database
from flextune.errors import DatabaseError, FlextuneError, UsageError
from flextune.testing.databases import example_record

Run = Callable[..., tuple[int, str, str]]


VERBS = ("doctor", "analyze", "space", "tune", "show", "compile", "replay", "run", "records")


def test_help_lists_every_verb(run: Run) -> None:
    code, out, _ = run("--help")
    assert code == 0
    for verb in VERBS:
        assert f"\n  {verb} " in out


@pytest.mark.parametrize("verb", [verb for verb in VERBS if verb != "records"])
def test_every_verb_has_help_and_json(run: Run, verb: str) -> None:
    code, out, _ = run(verb, "--help")
    assert code == 0
    assert "--json" in out


def test_version(run: Run) -> None:
    code, out, _ = run("--version")
    assert (code, out.split()[0]) == (0, "flextune")


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (["tuen"], ["tuen"]),
        (["tune"], ["WORKLOAD"]),
        (["tune", "gemm:m=8,n=8,k=8", "--trails", "3"], ["--trails"]),
        (["tune", "gemm:m=8,n=8,k=8", "--trials", "x"], ["--trials"]),
        (["tune", "gemm:m=8,n=8,k=8", "--trials", "0"], ["trials must be positive, got 0"]),
        (["tune", "gemm:m=8,n=8,k=8", "--minutes", "-1"], ["minutes must be positive"]),
        (["tune", "gem:m=8,n=8,k=8"], ["gem", "gemm"]),
        (["tune", "gemm:m=8,n=8,kk=8"], ["kk"]),
        (["tune", "gemm:m=0,n=8,k=8"], ["m", "0"]),
        (["tune", "gemm:m=8,n=8,k=8", "--shape", "x=1"], ["--shape, --dim and --value are for models"]),
        (["tune", "no/such.onnx"], ["no/such.onnx"]),
        (["space", "gemm:m=8,n=8,k=8", "--target", "x68:foo"], ["x68"]),
        (["run", "-c", "no.json"], ["no configuration file no.json"]),
        (["run", "-p", "tensorcore", "-c", "no.json"], ["no configuration file no.json"]),
        (["run", "-p", "tensorcroe", "-c", "no.json"], ["did you mean 'tensorcore'"]),
        (["compile", "m.onnx", "-o", "no/such/folder/m.so"], ["no/such/folder"]),
        (["compile", "m.onnx"], ["--output"]),
        (["records", "import", "no.jsonl"], ["no.jsonl"]),
    ],
)
def test_bad_usage_is_exit_code_2_and_one_message(run: Run, arguments: list[str], parts: list[str]) -> None:
    code, out, err = run(*arguments)
    assert code == 2
    assert out == ""
    assert "Traceback" not in err
    for part in parts:
        assert part in err


@pytest.mark.parametrize("arguments", [["show"], ["replay", "gemm:m=8,n=8,k=8"], ["records", "export", "x.jsonl"]])
def test_a_missing_database_is_said_and_not_made(run: Run, arguments: list[str], tmp_path: Path) -> None:
    code, _, err = run(*arguments, "--db", "none.db")
    assert code == 2
    assert err.startswith("flextune: ")
    assert len(err.splitlines()) == 1
    assert "none.db" in err
    assert not (tmp_path / "none.db").exists()


def test_debug_shows_the_traceback_wherever_it_stands(run: Run) -> None:
    for arguments in (("--debug", "run", "-c", "no.json"), ("run", "-c", "no.json", "--debug")):
        code, _, err = run(*arguments)
        assert code == 2
        assert "Traceback" in err
        assert err.splitlines()[-1] == "flextune: no configuration file no.json"


@pytest.mark.parametrize(
    ("error", "code", "part"),
    [
        (UsageError("two\nlines"), 2, "two lines"),
        (DatabaseError("locked"), 1, "locked"),
        (MemoryError(), 1, "out of memory"),
        (OSError(errno.ENOSPC, "No space left on device", "r.db"), 1, "disk full while writing r.db"),
        (PermissionError(errno.EACCES, "Permission denied", "x"), 1, "Permission denied: x"),
        (ZeroDivisionError("a bug"), 1, "internal error (ZeroDivisionError: a bug)"),
    ],
)
def test_errors_in_one_line(error: Exception, code: int, part: str) -> None:
    message, exit_code = describe(error)
    assert exit_code == code
    assert part in message
    assert "\n" not in message


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (KeyboardInterrupt(), 1, "flextune: interrupted"),
        (MemoryError(), 1, "flextune: out of memory"),
        (RuntimeError("a bug\nof ours"), 1, "flextune: internal error (RuntimeError: a bug)"),
        (FlextuneError("it failed"), 1, "flextune: it failed"),
    ],
)
def test_whatever_a_verb_raises_ends_in_one_line(
    run: Run, monkeypatch: pytest.MonkeyPatch, error: BaseException, code: int, message: str
) -> None:
    def fail(path: Path, platform: str) -> None:
        raise error

    monkeypatch.setattr("flextune.compat.heron.read_config", fail)
    got, out, err = run("run", "-c", "x.json")
    assert (got, out, len(err.splitlines())) == (code, "", 1)
    assert err.startswith(message)


def test_help_loads_nothing_heavy() -> None:
    script = """
import json, sys
from flextune.cli.main import main
try:
    main(["--help"])
except SystemExit:
    pass
print(json.dumps(sorted({name.split(".")[0] for name in sys.modules})))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    loaded = set(json.loads(done.stdout.splitlines()[-1]))
    assert "typer" in loaded
    assert loaded.isdisjoint(
        {"numpy", "tvm", "tvm_ffi", "xgboost", "onnx", "sqlalchemy", "pydantic", "networkx", "torch"}
    )


def test_a_closed_pipe_is_no_traceback() -> None:
    script = "from flextune.cli.main import main; main(['--help'])"
    command = f'"{sys.executable}" -c "{script}" | true'
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert "Traceback" not in done.stderr


def test_what_is_said_on_a_closed_stderr_does_not_go_to_stdout() -> None:
    command = f'"{sys.executable}" -m flextune show --db none.db 2>&-'
    done = subprocess.run(["bash", "-c", command], capture_output=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (2, b"", b"")


def test_letters_that_the_terminal_cannot_show_are_replaced(tmp_path: Path) -> None:
    with open_database(tmp_path / "r.db") as database:
        database.commit(example_record(1, 2.5e-6))
    command = [sys.executable, "-m", "flextune", "show", "--db", "r.db"]
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert "2.5 ?s" in done.stdout


def test_ctrl_c_while_the_command_line_is_loaded_is_no_traceback() -> None:
    script = """
import sys
class Interrupted:
    def find_spec(self, name, path, target=None):
        if name == "typer":
            raise KeyboardInterrupt
sys.meta_path.insert(0, Interrupted())
from flextune.__main__ import main
main()
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (1, "", "flextune: interrupted\n")
