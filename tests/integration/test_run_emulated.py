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
    model = tmp_path / "block.onnx"
    onnx.save(conv_block(16), model)
    _check(model, Target.parse(target), emulator, architecture, tmp_path)
    with pytest.raises(EnvironmentFault, match="was compiled for"):
        load_executable(tmp_path / "model.so")


@pytest.mark.emulator("arm")
def test_squeezenet_on_arm(tmp_path: Path) -> None:
    model = Path(onnx.__file__).parent / "backend/test/data/light/light_squeezenet.onnx"
    if not model.exists():
        pytest.skip("this release of onnx does not ship light_squeezenet.onnx")
    _check(model, Target.parse("arm:rk3588"), "qemu-aarch64 -cpu cortex-a76", "aarch64", tmp_path)


def _check(model: Path, target: Target, emulator: str, architecture: str, folder: Path) -> None:
    """What `examples/run_from_c` prints of a model's first output, with two threads, beside ONNX Runtime's."""
    onnxruntime = pytest.importorskip("onnxruntime")
    libraries = Path(f"/usr/{architecture}-linux-gnu")
    if not libraries.is_dir():
        pytest.skip(f"no C library for {architecture}: apt-get install libc6-arm64-cross libc6-riscv64-cross")
    compile_model(partition_model(load_model(model)), {}, target).executable.save(folder / "model.so")
    write_header(folder)
    toolchain = toolchain_for(platform_registry.compiler(target.kind), target)
    assert isinstance(toolchain, Toolchain)
    _compile(toolchain, folder)
    command = [*emulator.split(), "-L", str(libraries), "./main", "2", "1"]
    ended = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=200, check=False)
    assert ended.returncode == 0, ended.stderr
    session = onnxruntime.InferenceSession(model)
    given = session.get_inputs()[0]
    count = int(np.prod(given.shape))
    image = (np.arange(count, dtype=np.float32) / np.float32(count)).reshape(given.shape)
    want = session.run(None, {given.name: image})[0].ravel()[:5]
    np.testing.assert_allclose(np.array(ended.stdout.splitlines()[2].split(), np.float32), want, rtol=1e-4, atol=1e-6)


def _compile(toolchain: Toolchain, folder: Path) -> None:
    flags = ["-O2", str(EXAMPLE), "-I.", "-L.", "-l:model.so", "-Wl,-rpath,$ORIGIN", "-lm", "-o", "main"]
    environment = {**os.environ, **dict(toolchain.environment)}
    command = [*toolchain.command, *flags]
    ended = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
