"""The C compiler: which one is taken, what is kept of its work, and what is said when it fails."""

from __future__ import annotations

import ctypes
import sys
from pathlib import Path

import pytest

from flextune.errors import BuildError, EnvironmentFault
from flextune.native import toolchain


@pytest.fixture
def own_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("FLEXTUNE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_order_of_compilers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(toolchain.shutil, "which", {"gcc": "/a/gcc", "cc": "/a/cc"}.get)
    assert toolchain.compiler_command() == ("/a/gcc",)
    monkeypatch.setattr(toolchain.shutil, "which", {"cc": "/a/cc"}.get)
    assert toolchain.compiler_command() == ("/a/cc",)
    monkeypatch.setattr(toolchain.shutil, "which", {}.get)
    monkeypatch.setattr(toolchain.importlib.util, "find_spec", {"ziglang": object()}.get)
    assert toolchain.compiler_command() == (sys.executable, "-m", "ziglang", "cc", "-nostdlib")
    monkeypatch.setattr(toolchain.importlib.util, "find_spec", {}.get)
    with pytest.raises(EnvironmentFault, match="pip install ziglang"):
        toolchain.compiler_command()


def test_runtime_is_compiled_once(own_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = toolchain.runtime_objects()
    assert [path.parent for path in first] == [own_cache / "native"] * len(toolchain.SOURCES)
    monkeypatch.setattr(toolchain, "_run", lambda *_: pytest.fail("compiled again"))
    assert toolchain.runtime_objects() == first


@pytest.mark.parametrize("source", toolchain.SOURCES)
def test_runtime_compiles_without_warnings(source: str, tmp_path: Path) -> None:
    text = (toolchain.include_folder() / source).read_text()
    command = [*toolchain.compiler_command(), "-Werror"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(toolchain, "compiler_command", lambda: tuple(command))
        assert toolchain.compile_c(text, tmp_path / "source.o").stat().st_size > 0


def test_wrong_c_is_refused_with_what_the_compiler_said(tmp_path: Path) -> None:
    with pytest.raises(BuildError, match="no_such_type"):
        toolchain.compile_c("no_such_type value;", tmp_path / "wrong.o")


def test_a_library_with_something_undefined_is_refused(tmp_path: Path) -> None:
    if "-nostdlib" in toolchain.compiler_command():
        pytest.skip("without a C library at hand undefined symbols cannot be told")
    compiled = toolchain.compile_c("int missing(void); int given(void) { return missing(); }", tmp_path / "half.o")
    with pytest.raises(BuildError, match="missing"):
        toolchain.link([compiled], tmp_path / "half.so")


def test_a_library_is_made_anew_when_a_header_beside_its_source_changes(own_cache: Path, tmp_path: Path) -> None:
    source, header = tmp_path / "answer.c", tmp_path / "answer.h"
    source.write_text(
        '#include "answer.h"\n__attribute__((visibility("default"))) int answer(void) { return ANSWER; }\n'
    )
    for expected in (1, 2):
        header.write_text(f"#define ANSWER {expected}\n")
        toolchain._digest.cache_clear()  # as in a new process
        assert ctypes.CDLL(str(toolchain.source_library(source))).answer() == expected


def test_a_library_of_two_files_is_made_anew_when_the_second_changes(own_cache: Path, tmp_path: Path) -> None:
    first, second = tmp_path / "answer.c", tmp_path / "number.c"
    first.write_text(
        'int number(void);\n__attribute__((visibility("default"))) int answer(void) { return number(); }\n'
    )
    for expected in (1, 2):
        second.write_text(f"int number(void) {{ return {expected}; }}\n")
        toolchain._digest.cache_clear()  # as in a new process
        assert ctypes.CDLL(str(toolchain.source_library(first, second))).answer() == expected


def test_cache_that_cannot_be_written_says_what_to_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("FLEXTUNE_CACHE", str(tmp_path / "file"))
    with pytest.raises(EnvironmentFault, match="FLEXTUNE_CACHE"):
        toolchain.runtime_objects()


def test_pool_library_has_the_pools_functions(own_cache: Path) -> None:
    library = ctypes.CDLL(str(toolchain.pool_library()))
    assert library.ft_use_threads(2) == 2
    assert library.ft_parallel_launch is not None
