"""A few kills at random moments: `python -m tests.kills --rounds N` makes more."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from flextune.measure.launcher import can_fork

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
@pytest.mark.skipif(not can_fork(), reason="needs Linux")
@pytest.mark.parametrize("job", ["tune", "minimize", "compile"])
def test_nothing_is_lost_and_nothing_is_left(job):
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    words = ["-m", "tests.kills", "--rounds", "2", "--seed", "3", "--within", "30", "--only", job]
    done = subprocess.run(
        [sys.executable, *words], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
