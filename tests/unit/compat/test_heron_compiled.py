"""Candidates of Heron's cases built on a machine without a GPU."""

import json
from pathlib import Path

import pytest

from flextune.compat.heron_compiled import compile_case
from flextune.platforms.cuda.nvrtc import nvrtc_version
from flextune.target.target import Target
from flextune.workload.parse import parse_workload


@pytest.mark.skipif(not nvrtc_version(), reason="NVRTC is not installed: pip install 'flextune[gpu]'")
def test_what_the_compiler_says_is_left_and_no_times(tmp_path: Path) -> None:
    workload = parse_workload("gemm:m=64,n=64,k=64,tb=1,dtype=float16_float32")
    case = compile_case(tmp_path / "G1", workload, Target.parse("cuda:a100"), 3, seed=0)
    assert (case.candidates, case.built) == (3, 3)
    assert "none was measured" in str(case)
    lines = [json.loads(line) for line in (tmp_path / "G1/compiled.jsonl").read_text().splitlines()]
    assert all(line["registers"] > 16 and line["shared_bytes"] > 0 for line in lines)
    assert "not measured" in (tmp_path / "G1/schedule.py").read_text()
    assert not any("secs" in key for line in lines for key in line)
