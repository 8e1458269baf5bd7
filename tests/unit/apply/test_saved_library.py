"""Saving and loading: round trip in another process, and every kind of bad file."""

from __future__ import annotations

import json
import subprocess
import sys
import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import flextune
from flextune.apply import compiled_file
from flextune.apply.build import Build
from flextune.apply.compiled_file import TRAILER, read_signature
from flextune.apply.processor import check_instructions
from flextune.apply.signature import Signature
from flextune.errors import EnvironmentFault, FlextuneError, UsageError
from flextune.importing.values import ValueSpec
from flextune.platforms import platform_registry as platforms
from flextune.target.target import Target


@pytest.fixture(scope="module")
def library(build: Build, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build.executable.save(tmp_path_factory.mktemp("saved") / "block.so")


def test_round_trip(build: Build, library: Path) -> None:
    loaded = flextune.load(library)
    assert loaded.signature == build.executable.signature
    inputs = loaded.random_inputs(4)
    np.testing.assert_array_equal(loaded.run(inputs)["y"], build.executable.run(inputs)["y"])
    assert flextune.load(library, threads=1).signature.threads == 1


def test_another_process_loads_it_quietly(build: Build, library: Path, tmp_path: Path) -> None:
    inputs = build.executable.random_inputs(4)
    np.save(tmp_path / "x.npy", inputs["x"])
    program = (
        "import sys, numpy, flextune\n"
        "y = flextune.load(sys.argv[1]).run({'x': numpy.load(sys.argv[2])})['y']\n"
        "numpy.save(sys.argv[3], y)\n"
    )
    command = [sys.executable, "-c", program, str(library), str(tmp_path / "x.npy"), str(tmp_path / "y.npy")]
    outcome = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (outcome.returncode, outcome.stdout, outcome.stderr) == (0, "", "")
    np.testing.assert_array_equal(np.load(tmp_path / "y.npy"), build.executable.run(inputs)["y"])


def test_loaded_executables_are_not_saved_again(library: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="copy its file"):
        flextune.load(library).save(tmp_path / "again.so")


def test_files_that_are_no_executables_are_refused(library: Path, tmp_path: Path) -> None:
    whole = library.read_bytes()
    flipped = bytearray(whole)
    flipped[len(whole) // 3] ^= 1
    contents = {
        "empty": b"",
        "text": b"#!/bin/sh\n" * 20,
        "truncated": whole[: len(whole) // 2],
        "short": whole[:-1],
        "damaged": bytes(flipped),
        "lengthened": whole + b"\0",
    }
    for name, content in contents.items():
        path = tmp_path / f"{name}.so"
        path.write_bytes(content)
        with pytest.raises(UsageError, match=name):
            flextune.load(path)
    with pytest.raises(UsageError, match="no compiled model"):
        flextune.load(tmp_path / "missing.so")


def with_signature(library: Path, path: Path, text: bytes) -> Path:
    """The library with another signature, and the checksum that belongs to it."""
    whole = library.read_bytes()
    _, length, magic = TRAILER.unpack(whole[-TRAILER.size :])
    content = whole[: len(whole) - TRAILER.size - length] + text
    path.unlink(missing_ok=True)  # it may be mapped
    path.write_bytes(content + TRAILER.pack(zlib.crc32(content), len(text), magic))
    return path


WRONG = (None, True, 1.5, -1, "x", [], [1], {}, [[]], [None], "handle", 2**70, ["a\0b"])


def test_every_field_of_a_changed_signature_is_checked(library: Path, tmp_path: Path) -> None:
    """Whatever stands in a field, it is one message, or another signature that says what the code does."""
    kept = json.loads(read_signature(library).to_json())
    refused = 0
    for name in kept:
        for value in ("missing", *WRONG):
            changed = {field: other for field, other in {**kept, name: value}.items() if other != "missing"}
            with_signature(library, tmp_path / "m.so", json.dumps(changed).encode())
            try:
                flextune.load(tmp_path / "m.so").unload()
            except FlextuneError:
                refused += 1
    assert refused > 8 * len(kept)


def test_changed_inputs_and_outputs_are_refused(library: Path, tmp_path: Path) -> None:
    """Smaller shapes would have the code write beyond what it is given."""
    kept = json.loads(read_signature(library).to_json())
    for side in ("inputs", "outputs"):
        changes = [[], [*kept[side], kept[side][0]]]
        for name in ("name", "shape", "dtype"):
            changes += [[{**kept[side][0], name: value}] for value in (*WRONG, "float64", [1], [1, 1, 1, 1])]
        for change in (each for each in changes if each != kept[side]):
            with_signature(library, tmp_path / "m.so", json.dumps({**kept, side: change}).encode())
            with pytest.raises(UsageError, match=r"m\.so was changed after it was compiled: .*compile it again"):
                flextune.load(tmp_path / "m.so")


@pytest.mark.parametrize("text", [b"", b"{", b"[]", b"1", b"\xff\xfe", b"[" * 100_000])
def test_signatures_that_are_none_are_refused(text: bytes, library: Path, tmp_path: Path) -> None:
    with_signature(library, tmp_path / "m.so", text)
    with pytest.raises(UsageError, match=r"m\.so was changed after it was compiled"):
        flextune.load(tmp_path / "m.so")


def test_saving_into_no_folder_is_refused_and_leaves_nothing(build: Build, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="existing folder"):
        build.executable.save(tmp_path / "nowhere" / "m.so")
    with pytest.raises(UsageError, match="cannot write"):
        build.executable.save(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_failure_to_write_keeps_the_old_file(build: Build, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    path = tmp_path / "m.so"
    path.write_bytes(b"old")
    monkeypatch.setattr(compiled_file, "_write", fail)
    with pytest.raises(EnvironmentFault, match="No space left on device"):
        build.executable.save(path)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_signature_is_read_without_loading(build: Build, library: Path) -> None:
    assert read_signature(library) == build.executable.signature


def test_signature_round_trips() -> None:
    specs = (ValueSpec('odd "name"', (), "int64"), ValueSpec("y", (1, 2), "float32"))
    signature = Signature("m", specs, specs[:1], "x86:cpu=znver4,cores=2", 2)
    assert Signature.from_json(signature.to_json()) == signature


def test_instructions_of_a_target(target: Target) -> None:
    instructions_of = platforms.compiler(target.kind).instructions
    v3 = instructions_of(Target.parse("x86:cpu=x86-64-v3,cores=2,features=avx2"))
    assert {"avx2", "fma", "bmi2", "sse4.1"} <= set(v3)
    assert not [name for name in v3 if name.startswith("avx512")]
    assert set(instructions_of(target)) >= set(v3)
    without = instructions_of(Target.parse("x86:cpu=znver4,cores=2,features=avx2"))
    assert not [name for name in without if name.startswith("avx512")]


@pytest.mark.parametrize(
    ("instructions", "flags", "missing"),
    [
        (("avx2", "sse4.1", "lzcnt", "bmi"), "avx2 sse4_1 abm bmi1", None),
        (("avx512vnni", "avx512bf16"), "avx512_vnni avx512_bf16", None),
        (("avx2", "avx512f"), "avx2", "avx512f"),
        ((), "", None),
        (("sse3",), "", "sse3"),
    ],
)
def test_code_runs_only_where_its_instructions_are(
    build: Build, instructions: tuple[str, ...], flags: str, missing: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("flextune.platforms.x86.host.read_cpuinfo", lambda _: {"flags": flags})
    signature = replace(build.executable.signature, instructions=instructions)
    if missing is None:
        check_instructions(signature, "m.so")
        return
    with pytest.raises(
        EnvironmentFault, match=rf"m\.so was compiled for x86.* lacks {missing}; compile the model again"
    ):
        check_instructions(signature, "m.so")


def test_library_for_another_processor_is_refused(library: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("flextune.platforms.x86.host.read_cpuinfo", lambda _: {"flags": "sse2"})
    with pytest.raises(FlextuneError, match="compile the model again"):
        flextune.load(library)


def test_loading_needs_no_tvm(library: Path) -> None:
    program = (
        "import sys, flextune\n"
        "executable = flextune.load(sys.argv[1])\n"
        "executable.run(executable.random_inputs(0))\n"
        "assert not [name for name in sys.modules if name.startswith(('tvm', 'onnx'))]\n"
    )
    command = [sys.executable, "-c", program, str(library)]
    assert subprocess.run(command, check=False).returncode == 0
