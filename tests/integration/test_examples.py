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


def differences(printed: str) -> list[float]:
    return [float(line.split()[-1]) for line in printed.splitlines() if " largest " in f" {line} "]


def test_one_library_is_right_at_all_sizes(tmp_path):
    printed = printed_by("any_size.py", "--largest", "9", cwd=tmp_path)
    assert [line.partition(":")[0] for line in printed.splitlines()] == ["batch 1", "batch 7", "batch 9"]
    assert len(differences(printed)) == 3
    assert max(differences(printed)) < 1e-5


def test_one_kernel_is_tuned_and_shown(tmp_path):
    workload = "gemm:m=24,n=16,k=8"
    lines = printed_by("one_kernel.py", workload, "--trials", "3", cwd=tmp_path).splitlines()
    assert lines[0].startswith("gemm:m=24,n=16,k=8")
    assert " 3 trials, 0 failed" in lines[0]
    assert [line.split()[0] for line in lines[1:3]] == ["best", "default"]
    assert len(lines) > 5


def test_a_module_of_pytorch_is_a_library(tmp_path):
    pytest.importorskip("torch")
    pytest.importorskip("onnxscript")
    found = differences(printed_by("from_torch.py", cwd=tmp_path))
    assert len(found) == 2
    assert max(found) < 1e-5
    assert (tmp_path / "from_torch.so").stat().st_size > 0
