"""A whole model for another processor: compiled here, called from C in an emulator, equal to ONNX Runtime."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import numpy as np
import onnx
import pytest

from flextune.apply.build import compile_model
from flextune.apply.executable import load_executable
from flextune.errors import EnvironmentFault
from flextune.importing.model import load_model
from flextune.native.toolchain import Toolchain, write_header
from flextune.plan.partition import partition_model
from flextune.platforms import platform_registry
from flextune.platforms.compiler import toolchain_for
from flextune.target.target import Target
from flextune.testing.models import conv_block

EXAMPLE = Path(__file__).parents[2] / "examples" / "run_from_c" / "main.c"

FAMILIES = [
    pytest.param("arm:rk3588", "qemu-aarch64 -cpu cortex-a76", "aarch64", marks=pytest.mark.emulator("arm")),
    pytest.param(
        "riscv:spacemit-k1", "qemu-riscv64 -cpu rv64,v=true,vlen=256", "riscv64", marks=pytest.mark.emulator("riscv")
    ),
]


@pytest.mark.parametrize(("target", "emulator", "architecture"), FAMILIES)
def test_a_model_called_from_c_computes_what_onnx_runtime_does(
    target: str, emulator: str, architecture: str, tmp_path: Path
) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    libraries = Path(f"/usr/{architecture}-linux-gnu")
    if not libraries.is_dir():
        pytest.skip(f"no C library for {architecture}: apt-get install libc6-arm64-cross libc6-riscv64-cross")
    onnx.save(conv_block(16), tmp_path / "block.onnx")
    device = Target.parse(target)
    compile_model(partition_model(load_model(tmp_path / "block.onnx")), {}, device).executable.save(
        tmp_path / "model.so"
    )
    write_header(tmp_path)
    toolchain = toolchain_for(platform_registry.compiler(device.kind), device)
    assert isinstance(toolchain, Toolchain)
    _compile(toolchain, tmp_path)
    command = [*emulator.split(), "-L", str(libraries), "./main", "2", "1"]
    ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=100, check=False)
    assert ended.returncode == 0, ended.stderr
    session = onnxruntime.InferenceSession(tmp_path / "block.onnx")
    image = np.arange(400, dtype=np.float32).reshape(1, 4, 10, 10) / np.float32(400)
    want = session.run(None, {"x": image})[0].ravel()[:5]
    np.testing.assert_allclose(np.array(ended.stdout.splitlines()[2].split(), np.float32), want, rtol=1e-4, atol=1e-6)
    with pytest.raises(EnvironmentFault, match="was compiled for"):
        load_executable(tmp_path / "model.so")


def _compile(toolchain: Toolchain, folder: Path) -> None:

    flags = ["-O2", str(EXAMPLE), "-I.", "-L.", "-l:model.so", "-Wl,-rpath,$ORIGIN", "-lm", "-o", "main"]
    environment = {**os.environ, **dict(toolchain.environment)}
    command = [*toolchain.command, *flags]
    ended = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
