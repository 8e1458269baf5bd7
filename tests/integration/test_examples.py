"""Examples that optimise a model, with a budget of seconds."""

import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"


def printed_by(example: str, *arguments: str, cwd: Path) -> str:
    command = [sys.executable, str(EXAMPLES / example), *arguments]
    return subprocess.run(command, cwd=cwd, check=True, capture_output=True, text=True).stdout


@pytest.mark.slow
def test_from_python_writes_a_library_that_loads_and_runs(tmp_path):
    lines = printed_by("from_python.py", "--minutes", "0.05", "--out", "out", cwd=tmp_path).splitlines()
    assert [line.partition(" ")[0] for line in lines] == ["tuned", "loaded", "", "", "runs"]
    assert lines[3].strip() == "softmaxout_1: float32 (1, 1000, 1, 1)"
    assert (tmp_path / "out" / "squeezenet.so").stat().st_size > 0
    assert (tmp_path / "out" / "records.db").stat().st_size > 0
