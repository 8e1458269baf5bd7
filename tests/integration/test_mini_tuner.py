"""The one-page tuner of the docs runs, stays one page, and finds something right."""

import re
import subprocess
import sys
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "mini_tuner.py"


def test_it_is_at_most_300_lines():
    assert len(PAGE.read_text().splitlines()) <= 300


def test_it_tunes_a_small_gemm():
    run = subprocess.run(
        [sys.executable, str(PAGE), "gemm:m=33,n=48,k=20,epilogue=bias", "5"],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    assert re.match(r"gemm:m=33,n=48,k=20,dtype=float32,epilogue=bias: \d+ schedules\ntrial 1: ", run.stdout)
