"""The command completes what a shell asks it to complete."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

import pytest

PROGRAM = [sys.executable, "-m", "flextune"]


def answered(line: str) -> list[str]:
    """What bash would offer for the last word of the line."""
    words = line.split(" ")
    asked = {"_FLEXTUNE_COMPLETE": "complete_bash", "COMP_WORDS": line, "COMP_CWORD": str(len(words) - 1)}
    done = subprocess.run(PROGRAM, env={**os.environ, **asked}, capture_output=True, text=True, check=True)
    return done.stdout.split()


def test_verbs_options_and_strategies_are_offered() -> None:
    assert answered("flextune re") == ["report", "replay", "records"]
    assert answered("flextune records f") == ["fetch"]
    assert "--strategy" in answered("flextune tune --str")
    assert answered("flextune tune --strategy cg") == ["cga", "cga-random-keys"]
    assert answered("flextune minimize --strategy nosuch") == []


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_is_one_that_the_shell_can_read(shell: str) -> None:
    script = subprocess.run([*PROGRAM, "completion", shell], capture_output=True, text=True, check=True).stdout
    assert f"complete_{shell}" in script
    if shutil.which(shell) is not None:
        subprocess.run([shell, "-n"], input=script, text=True, check=True)


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
def test_bash_loads_the_script() -> None:
    script = subprocess.run([*PROGRAM, "completion", "bash"], capture_output=True, text=True, check=True).stdout
    loaded = subprocess.run(["bash", "-c", f"{script}\ncomplete -p flextune"], capture_output=True, text=True)
    assert loaded.stdout.strip().endswith("_flextune_completion flextune")
