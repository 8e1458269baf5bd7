"""The operator in docs/add_an_operator.md works as printed there."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from flextune.workload import operator_registry, parse_workload
from flextune.workload.operators.matmul import GEMM

GUIDE = Path(__file__).parents[3] / "docs" / "add_an_operator.md"

CHECK = """
from flextune.workload import from_prim_func
inputs = workload.random_inputs(0)
got = from_prim_func(workload.prim_func(), "plain").reference(inputs)[0]
assert workload.tolerance().accepts(got, workload.reference(inputs)[0])
assert parse_workload(str(workload)) == workload
import os, sys
sys.stdout.flush()
os._exit(0)
"""


def test_the_guide_runs() -> None:
    program = "\n".join(
        re.findall(r"^```python\n(.*?)^```", GUIDE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    )
    done = subprocess.run([sys.executable, "-c", program + CHECK], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("rms_norm:rows=64,cols=1000,dtype=float32\n")
    assert 'T.sblock("rms_norm")' in done.stdout


def test_a_taken_name_is_refused() -> None:
    with pytest.raises(ValueError, match="'gemm' exists already"):
        operator_registry.register_operator(GEMM)


def test_operators_of_other_packages_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    class Doubled(type(GEMM)):  # type: ignore[misc]
        name = "doubled_gemm"

    class Entry:
        name = "doubled_gemm"
        value = "somewhere:DOUBLED"

        def load(self) -> Doubled:
            return Doubled()

    monkeypatch.setattr(operator_registry, "_FACTORIES", dict(operator_registry._FACTORIES))
    monkeypatch.setattr(
        operator_registry, "entry_points", lambda group: [Entry()] if group == "flextune.operators" else []
    )
    monkeypatch.setattr(operator_registry, "_add_plugins", operator_registry._add_plugins.__wrapped__)
    try:
        assert str(parse_workload("doubled_gemm:m=1,n=2,k=3")) == "doubled_gemm:m=1,n=2,k=3,dtype=float32"
    finally:
        operator_registry._load.cache_clear()
