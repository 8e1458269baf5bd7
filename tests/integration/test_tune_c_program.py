"""The example that tunes a C program's flags and block sizes, with a small budget."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLE = Path(__file__).parents[2] / "examples" / "tune_c_program" / "tune.py"


@pytest.mark.skipif(shutil.which("gcc") is None, reason="needs gcc")
def test_it_finds_a_faster_program_and_goes_on(tmp_path):
    def tuned(trials: int) -> str:
        command = [sys.executable, str(EXAMPLE), "--trials", str(trials), "--size", "128", "--strategy", "random"]
        return subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, text=True).stdout

    assert "6 tried (0 of them before), 0 failed" in tuned(6)
    report = tuned(8)
    assert "8 tried (6 of them before), 0 failed" in report
    default, best = (float(re.search(rf"{name} +(\S+) ms", report).group(1)) for name in ("default", "best"))
    assert 0 < best <= default
