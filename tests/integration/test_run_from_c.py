"""A compiled model in a C program: built by gcc, run without Python, equal to what Python gets."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import onnx
import pytest

import flextune
from flextune.apply.build import compile_model
from flextune.importing.model import load_model
from flextune.native.toolchain import include_folder, write_header
from flextune.plan.partition import partition_model
from flextune.testing.models import conv_block

EXAMPLE = Path(__file__).parents[2] / "examples" / "run_from_c" / "main.c"
CLEAN = {"PATH": "/usr/bin:/bin"}

pytestmark = pytest.mark.skipif(shutil.which("gcc") is None, reason="gcc is not installed")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`model.so`, its header, and the example's program."""
    folder = tmp_path_factory.mktemp("c")
    onnx.save(conv_block(16), folder / "block.onnx")
    partition = partition_model(load_model(folder / "block.onnx"))
    compile_model(partition, {}, flextune.detect()).executable.save(folder / "model.so")
    write_header(folder)
    _gcc(folder, str(EXAMPLE), "-o", "main")
    return folder


def _gcc(folder: Path, *arguments: str) -> None:
    flags = ["-Wall", "-Wextra", "-Werror", "-I.", *arguments, "-L.", "-l:model.so", "-Wl,-rpath,$ORIGIN", "-lm"]
    outcome = subprocess.run(["gcc", *flags], cwd=folder, capture_output=True, text=True, check=False)
    assert outcome.returncode == 0, outcome.stderr


def _run(folder: Path, program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [str(folder / program), *arguments]
    return subprocess.run(command, cwd="/", env=CLEAN, capture_output=True, text=True, timeout=60, check=False)


def test_example_runs_without_python_and_computes_the_same(folder: Path) -> None:
    image = np.arange(400, dtype=np.float32).reshape(1, 4, 10, 10) / np.float32(400)
    want = flextune.load(folder / "model.so").run({"x": image})["y"].ravel()[:5]
    for threads in ("1", "2", "3"):
        outcome = _run(folder, "main", threads, "5")
        assert (outcome.returncode, outcome.stderr) == (0, "")
        lines = outcome.stdout.splitlines()
        assert lines[:2] == [
            "input x: float32[1, 4, 10, 10], 1600 bytes",
            "output y: float32[1, 4, 10, 10], 1600 bytes",
        ]
        np.testing.assert_allclose(np.array(lines[2].split(), np.float32), want, rtol=1e-6)
        assert f"with {threads} threads" in lines[3]


def test_it_needs_the_c_library_alone(folder: Path) -> None:
    if shutil.which("ldd") is None:
        pytest.skip("ldd is not installed")
    listed = subprocess.run(["ldd", str(folder / "model.so")], capture_output=True, text=True, check=True).stdout
    names = [line.split()[0] for line in listed.splitlines()]
    known = ("linux-vdso", "libm.", "libc.", "libpthread", "libdl", "/lib")
    assert all(name.startswith(known) for name in names), names


def test_a_stripped_library_says_what_is_missing(folder: Path, tmp_path: Path) -> None:
    if shutil.which("strip") is None:
        pytest.skip("strip is not installed")
    shutil.copy(folder / "main", tmp_path)
    subprocess.run(["strip", "-o", str(tmp_path / "model.so"), str(folder / "model.so")], check=True)
    outcome = _run(tmp_path, "main")
    assert outcome.returncode == 1
    assert "holds no weights" in outcome.stderr


def test_a_wrong_use_is_told(folder: Path) -> None:
    program = """
        #include <stdio.h>
        #include "flextune_model.h"
        int main(void) {
          flextune_model *model;
          flextune_tensor tensor;
          const void *inputs[1] = {0};
          void *outputs[1] = {0};
          printf("%d ", flextune_open("/no/such/file", &model));
          printf("%s\\n", flextune_last_error());
          if (flextune_open(0, &model) != 0) return 1;
          printf("%d %d ", flextune_input(model, 7, &tensor), flextune_set_threads(model, 0));
          printf("%d %s\\n", flextune_run(model, inputs, outputs), flextune_last_error());
          flextune_close(model);
          flextune_close(0);
          return 0;
        }
    """
    (folder / "wrong.c").write_text(program)
    _gcc(folder, "wrong.c", "-o", "wrong")
    outcome = _run(folder, "wrong")
    assert outcome.returncode == 0
    first, second = outcome.stdout.splitlines()
    assert first.startswith("-1 cannot open /no/such/file")
    assert second.startswith("-1 -1 -1 a null pointer was given")


def test_header_suits_cpp(tmp_path: Path) -> None:
    if shutil.which("g++") is None:
        pytest.skip("g++ is not installed")
    (tmp_path / "use.cpp").write_text(
        '#include "flextune_model.h"\nint main() { return flextune_last_error() == 0; }\n'
    )
    command = ["g++", "-Wall", "-Werror", f"-I{include_folder()}", "-c", "use.cpp", "-o", os.devnull]
    assert subprocess.run(command, cwd=tmp_path, check=False).returncode == 0
