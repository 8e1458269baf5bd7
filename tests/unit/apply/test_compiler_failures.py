"""What a build is when its compiler fails: a message with what the compiler said, never another artifact."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from flextune.apply import assemble as assembling
from flextune.apply import native_build
from flextune.apply.build import compile_model
from flextune.apply.signature import Runtime
from flextune.errors import BuildError, EnvironmentFault, KernelError
from flextune.native import toolchain
from flextune.plan.partition import Partition
from flextune.target.target import Target


def compiler_that(does: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The compiler at hand is a script."""
    script = folder / "gcc"
    script.write_text(f"#!/bin/sh\n{does}\n")
    script.chmod(0o755)
    monkeypatch.setattr(toolchain, "compiler_command", lambda: (str(script),))


@pytest.mark.parametrize(
    ("does", "said"),
    [
        ("echo 'internal compiler error' >&2; exit 4", "internal compiler error"),
        ("echo 'No space left on device' >&2; exit 1", "No space left on device"),
        ("exit 3", "ended with 3 and said nothing"),
        ("kill -9 $$", "ended with -9"),
    ],
)
def test_a_compiler_that_fails_is_the_message(
    does: str, said: str, partition: Partition, target: Target, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compiler_that(does, tmp_path, monkeypatch)
    with pytest.raises(BuildError, match=f"the C compiler .*gcc failed: .*{said}"):
        compile_model(partition, {}, target)


def test_a_linker_that_fails_is_the_message(
    partition: Partition, target: Target, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = " ".join(toolchain.compiler_command())
    compiler_that(
        f'case "$*" in *-shared*) echo "ld: no room" >&2; exit 1;; *) exec {real} "$@";; esac', tmp_path, monkeypatch
    )
    with pytest.raises(BuildError, match="ld: no room"):
        compile_model(partition, {}, target)


def test_a_compiler_that_cannot_be_run_is_the_message(
    partition: Partition, target: Target, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "gcc").write_text("no program")
    monkeypatch.setattr(toolchain, "compiler_command", lambda: (str(tmp_path / "gcc"),))
    with pytest.raises(EnvironmentFault, match=r"gcc cannot be run: Permission denied"):
        compile_model(partition, {}, target)


def test_a_cache_that_cannot_be_written_is_the_message(
    partition: Partition, target: Target, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("FLEXTUNE_CACHE", str(tmp_path / "file"))
    with pytest.raises(EnvironmentFault, match="FLEXTUNE_CACHE"):
        compile_model(partition, {}, target)


def test_a_disk_that_fills_up_while_kernels_are_written_is_the_message(
    partition: Partition, target: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    """LLVM would end the process."""

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(shutil, "copyfileobj", full)
    with pytest.raises(EnvironmentFault, match=r"cannot write .*kernels\d\.o: No space left on device"):
        compile_model(partition, {}, target)


@pytest.mark.parametrize(
    ("place", "name", "answer", "reason"),
    [
        (
            assembling,
            "static_model",
            None,
            "sizes that those of its inputs do not tell, or it calls functions that are no kernels",
        ),
        (assembling, "has_compiler", False, "there is no C compiler"),
        (native_build, "CALLS_INTO_TVM", (b"",), "kernels of the model call TVM's runtime"),
    ],
)
def test_what_runs_on_the_virtual_machine_says_why(
    place: object,
    name: str,
    answer: object,
    reason: str,
    partition: Partition,
    target: Target,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(place, name, (lambda *_: answer) if name != "CALLS_INTO_TVM" else answer)
    executable = compile_model(partition, {}, target).executable
    assert executable.signature.runtime is Runtime.TVM
    (note,) = executable.notes
    assert note.startswith("it runs on TVM's virtual machine, because ")
    assert reason in note


def test_copies_instead_of_parts_are_said(
    partition: Partition, target: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    from flextune.apply import build as building

    real = building.assemble

    def only_copies(module: object, signature: object, target: Target, in_place: bool, writer: object) -> object:
        if in_place:
            raise KernelError("no stride of this kind")
        return real(module, signature, target, in_place, writer)

    monkeypatch.setattr(building, "assemble", only_copies)
    executable = compile_model(partition, {}, target).executable
    assert executable.notes == (
        "concatenations and slices are copies, because in place TVM says: no stride of this kind",
    )


def test_a_usual_build_has_no_notes(partition: Partition, target: Target) -> None:
    assert compile_model(partition, {}, target).executable.notes == ()
