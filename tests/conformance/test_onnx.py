"""The ONNX project's node tests of some operators; with `--onnx REGEX`, all those that have this in their name."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

FILES = ("relu", "softmax", "gemm", "reshape", "where", "split", "pow", "clip", "dropout", "bitshift", "swish", "slice")

MAY_BE_REFUSED = ("training_dropout", "pow_types", "allowzero", "attention", "zero_size")
"""In the names of tests of what is not supported: see docs/onnx.md."""


REPOSITORY = Path(__file__).parents[2]


def run_suite(folder: Path, *arguments: str) -> list[dict[str, str]]:
    """The results of the command, which runs the tests in processes of their own."""
    out = folder / "results.json"
    command = [sys.executable, "-m", "onnx_conformance", "--json", str(out), *arguments]
    ended = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=3000)
    assert out.exists(), ended.stderr
    results: list[dict[str, str]] = json.loads(out.read_text())
    assert ended.returncode == int(
        any(result["verdict"] in ("wrong", "error", "crashed", "timeout") for result in results)
    )
    return results


@pytest.mark.slow
def test_node_tests_pass(tmp_path: Path) -> None:
    results = run_suite(tmp_path, "--files", *FILES)
    assert len(results) > 100
    failed = {result["name"]: result["reason"] for result in results if result["verdict"] not in ("passed", "rounded")}
    assert not {name: reason for name, reason in failed.items() if not any(word in name for word in MAY_BE_REFUSED)}
    assert len(failed) < len(results) / 10


def test_asked_tests_pass(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    pattern = request.config.getoption("--onnx")
    if not pattern:
        pytest.skip("needs --onnx REGEX")
    results = run_suite(tmp_path, "--include", pattern)
    assert results, f"no test has {pattern} in its name"
    assert {result["name"]: result["reason"] for result in results if result["verdict"] != "passed"} == {}
