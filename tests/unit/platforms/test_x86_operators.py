"""x86's functions are those of code for x86: whatever else is compiled in the process gets TVM's own."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tvm
from tvm import te, tirx

from flextune.measure.output_check import check_outputs
from flextune.platforms.x86 import elementary
from flextune.platforms.x86.code_generation import compile_executable
from flextune.schedule.apply import ScheduledProgram
from flextune.target.target import Target
from flextune.testing.programs import run_program
from flextune.tvm_types import PrimFunc
from flextune.workload.tir import from_prim_func

from . import function_kernels
from .function_kernels import code_for, kernel_of_all_functions

OTHERS: dict[str, dict[str, object]] = {
    "plain": {"kind": "llvm"},
    "avx512": {"kind": "llvm", "mcpu": "x86-64-v4"},
    "aarch64": {"kind": "llvm", "mtriple": "aarch64-linux-gnu", "mattr": ["+neon"]},
    "riscv64": {"kind": "llvm", "mtriple": "riscv64-linux-gnu", "mcpu": "generic-rv64", "mattr": ["+m", "+f", "+d"]},
}


def code_for_x86(text: str = "x86:avx512-generic", form: str = "asm") -> str:
    return str(compile_executable(kernel_of_all_functions(), Target.parse(text)).mod.inspect_source(form))


def test_other_targets_get_the_code_of_a_process_without_platforms() -> None:
    """After x86 has generated code, which is the same before and after."""
    for_x86 = code_for_x86()
    command = [sys.executable, str(Path(function_kernels.__file__)), json.dumps(list(OTHERS.values()))]
    fresh = subprocess.run(command, capture_output=True, text=True, check=False, timeout=600)
    assert fresh.returncode == 0, fresh.stderr
    assert [code_for(target) for target in OTHERS.values()] == json.loads(fresh.stdout)
    assert code_for_x86() == for_x86


@pytest.mark.parametrize("name", OTHERS)
def test_other_targets_get_no_instruction_of_x86(name: str) -> None:
    assert "llvm.x86.avx512bf16" in code_for_x86("x86:cpu=cooperlake,cores=1,features=avx512+bf16", "ll")
    text = code_for(OTHERS[name], "ll")
    assert "llvm.x86" not in text
    assert "llvm.exp" in text


def test_code_for_x86_calls_no_function_a_lane() -> None:
    text = code_for_x86(form="ll")
    called = [function for function in ("exp", "tanh", "log", "pow", "erf") if f"call float @{function}f(" in text]
    assert called == []
    assert not [function for function in ("exp", "log", "pow") if f"@llvm.{function}." in text]


def test_a_reference_shares_no_function_with_what_is_checked(host: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    """With x86's exponential made the constant 42, the reference is right, and the check says so."""
    workload = from_prim_func(exponentials(), "exponentials")
    inputs = workload.random_inputs(0)
    program = ScheduledProgram(tvm.IRModule({"main": workload.prim_func()}))
    right = run_program(program, host, inputs, workload.reference(inputs))
    assert not check_outputs(workload, right, workload.reference(inputs)).error
    monkeypatch.setattr(elementary, "_exp", lambda x: tirx.const(42.0, str(x.ty)))
    references = workload.reference(inputs)
    np.testing.assert_allclose(references[0], np.exp(inputs[0]), rtol=1e-6)
    wrong = run_program(program, host, inputs, references)
    assert (wrong[0] == 42).all()
    assert check_outputs(workload, wrong, references).error


def exponentials() -> PrimFunc:
    a = te.placeholder((64,), "float32", name="a")
    return te.create_prim_func([a, te.compute((64,), lambda i: tirx.exp(a[i]), name="result")])
