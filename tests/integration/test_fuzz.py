"""A short run of the fuzzer: `python -m tests.fuzz --minutes M` is the long one."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from flextune.measure.launcher import can_fork

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
@pytest.mark.skipif(not can_fork(), reason="needs Linux")
def test_damaged_input_is_refused(tmp_path):
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    words = ["-m", "tests.fuzz", "--inputs", "180", "--seed", "7", "--keep", str(tmp_path / "findings")]
    done = subprocess.run(
        [sys.executable, *words], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
