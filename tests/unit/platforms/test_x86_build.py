"""Code generation for the host, in memory and as a shared library."""

import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import tvm

from flextune.errors import BuildError
from flextune.native import toolchain
from flextune.platforms.x86 import code_generation
from flextune.target.detect import detect
from flextune.target.target import Target
from flextune.workload.parse import parse_workload

WORKLOAD = parse_workload("gemm:m=8,n=16,k=4")

pytestmark = pytest.mark.hardware("x86")


def program() -> tvm.ir.IRModule:
    return tvm.ir.IRModule({"main": WORKLOAD.prim_func()})


def assert_computes(module: object) -> None:
    inputs = WORKLOAD.random_inputs(1)
    tensors = [tvm.runtime.tensor(array) for array in inputs]
    output = tvm.runtime.tensor(np.full((8, 16), np.nan, dtype="float32"))
    module["main"](*tensors, output)  # type: ignore[index]
    np.testing.assert_allclose(output.numpy(), WORKLOAD.reference(inputs)[0], rtol=1e-5, atol=1e-6)


def test_tvm_target_says_cpu_features_and_cores() -> None:
    target = code_generation.tvm_target(Target.parse("x86:cpu=znver3,cores=3,features=avx2"))
    assert (target.kind.name, target.attrs["mcpu"], target.attrs["num-cores"]) == ("llvm", "znver3", 3)
    assert "+avx2" in target.attrs["mattr"]
    assert "-avx512f" in target.attrs["mattr"]


def test_compiles_in_memory() -> None:
    assert_computes(code_generation.compile_module(program(), detect()))


@pytest.mark.parametrize("linker", ["gcc", "ziglang"])
def test_exports_a_library(linker: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = {"gcc": shutil.which("gcc")}
    if linker == "gcc" and found["gcc"] is None:
        pytest.skip("no gcc here")
    if linker == "ziglang":
        pytest.importorskip("ziglang")
        found = {}
        monkeypatch.setenv("ZIG_GLOBAL_CACHE_DIR", str(tmp_path / "zig"))
    monkeypatch.setattr(toolchain.shutil, "which", found.get)
    path = tmp_path / "program.so"
    code_generation.export_library(tvm.compile(program(), target=code_generation.tvm_target(detect())), path)
    assert_computes(tvm.runtime.load_module(str(path)))


def test_a_linker_that_fails_is_quoted(tmp_path: Path) -> None:
    command = (sys.executable, "-c", "import sys; sys.exit('cannot find -lc')")
    with pytest.raises(BuildError, match="cannot find -lc"):
        code_generation.run_linker(command, str(tmp_path / "x.so"), [])
